/** Judge a form's value: pure, in words that stand beside the field. */
import { plural } from "../usage/format";
import { isObject } from "./loose-json";
import { type Field, isNullable } from "./schema";

/** Complaints by JSON Pointer; empty when everything fits. */
export type Complaints = ReadonlyMap<string, string>;

export function complaintsOf(field: Field, value: unknown): Complaints {
  const found = new Map<string, string>();
  judge(field, value, "", found);
  return found;
}

export function pointer(base: string, key: string | number): string {
  return `${base}/${String(key).replace(/~/g, "~0").replace(/\//g, "~1")}`;
}

function judge(field: Field, value: unknown, at: string, found: Map<string, string>): void {
  const complain = (words: string) => void (found.has(at) || found.set(at, words));
  const { schema } = field;
  if (value === null && isNullable(schema)) return;
  switch (field.kind) {
    case "text": {
      if (typeof value !== "string") return complain("Write a text.");
      const [shortest, longest] = [limit(schema["minLength"]), limit(schema["maxLength"])];
      if (shortest !== null && [...value].length < shortest)
        return complain(value === "" ? "This is needed." : `At least ${shortest} characters.`);
      if (longest !== null && [...value].length > longest) return complain(`At most ${longest} characters.`);
      if (!fitsPattern(schema["pattern"], value)) return complain(`Does not fit the pattern ${String(schema["pattern"])}.`);
      return;
    }
    case "number":
      if (typeof value !== "number" || !Number.isFinite(value)) return complain("Write a number.");
      if (field.isWhole && !Number.isInteger(value)) return complain("Write a whole number.");
      return judgeBounds(schema, value, complain);
    case "boolean":
      return typeof value === "boolean" ? undefined : complain("Choose yes or no.");
    case "choice":
      return field.options.some((option) => same(option, value)) ? undefined : complain("Choose one of the options.");
    case "list": {
      if (!Array.isArray(value)) return complain("Make a list.");
      const [fewest, most] = [limit(schema["minItems"]), limit(schema["maxItems"])];
      if (fewest !== null && value.length < fewest) complain(`At least ${plural(fewest, "item")}.`);
      if (most !== null && value.length > most) complain(`At most ${plural(most, "item")}.`);
      value.forEach((item, index) => judge(field.item, item, pointer(at, index), found));
      return;
    }
    case "object":
      if (!isObject(value)) return complain("Make an object.");
      for (const member of field.members) {
        // A member that is there without a value is text that is no JSON (yet).
        if (member.name in value) judge(member.field, value[member.name], pointer(at, member.name), found);
        else if (member.isRequired) found.set(pointer(at, member.name), "This is needed.");
      }
      return;
    case "json":
      return value === undefined ? complain("This is no valid JSON.") : undefined;
  }
}

function judgeBounds(schema: Record<string, unknown>, value: number, complain: (words: string) => void): void {
  const bounds: readonly [string, (bound: number) => boolean, string][] = [
    ["minimum", (bound) => value >= bound, "At least"],
    ["exclusiveMinimum", (bound) => value > bound, "More than"],
    ["maximum", (bound) => value <= bound, "At most"],
    ["exclusiveMaximum", (bound) => value < bound, "Less than"],
  ];
  for (const [keyword, fits, words] of bounds) {
    const bound = limit(schema[keyword]);
    if (bound !== null && !fits(bound)) return complain(`${words} ${bound}.`);
  }
}

/** A long pattern could take for ever on some texts; the service judges it within a bound. */
function fitsPattern(pattern: unknown, value: string): boolean {
  if (typeof pattern !== "string" || pattern.length > 100 || value.length > 1_000) return true;
  if (/[+*}]\)?[+*{]/.test(pattern)) return true;
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true;
  }
}

function limit(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

function same(one: unknown, other: unknown): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
