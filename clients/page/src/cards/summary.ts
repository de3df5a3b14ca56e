/** One line that says what a call is about: `city: Paris, days: 3`. */
import { cut } from "../ui/cut";
import { plural } from "../usage/format";
import { isObject, parsed } from "./loose-json";

const LONGEST_VALUE = 60;
const LONGEST_LINE = 120;

export function summarise(argumentsText: string): string {
  const value = parsed(argumentsText);
  if (value === undefined) return cut(argumentsText.replace(/\s+/g, " ").trim(), LONGEST_LINE);
  if (!isObject(value)) return cut(JSON.stringify(value), LONGEST_LINE);
  const members = Object.entries(value);
  if (typeof value["title"] === "string" && value["title"].trim()) return cut(value["title"].trim(), LONGEST_LINE);
  // The name of a single argument says nothing that the tool's name does not say.
  if (members.length === 1) return cut(inWords(members[0]![1]), LONGEST_LINE);
  return cut(members.map(([name, member]) => `${name}: ${inWords(member)}`).join(", "), LONGEST_LINE);
}

function inWords(value: unknown): string {
  if (typeof value === "string") return cut(value.replace(/\s+/g, " ").trim(), LONGEST_VALUE);
  if (Array.isArray(value)) {
    const isShort = value.length <= 8 && value.every((item) => typeof item !== "object" || item === null);
    return isShort ? cut(value.map(inWords).join(", "), LONGEST_VALUE) : plural(value.length, "item");
  }
  return isObject(value) ? cut(JSON.stringify(value), LONGEST_VALUE) : String(value);
}
