/**
 * The part of JSON Schema that forms need: what kind of value is wanted, and whether a value fits. The service checks
 * answers with all of JSON Schema; what is judged here is only what a person can correct in a form.
 */
import { isObject } from "./loose-json";

export type Schema = Record<string, unknown>;

export type Field =
  | { kind: "text"; multiline: boolean; schema: Schema }
  | { kind: "number"; isWhole: boolean; schema: Schema }
  | { kind: "boolean"; schema: Schema }
  | { kind: "choice"; options: readonly unknown[]; schema: Schema }
  | { kind: "list"; item: Field; schema: Schema }
  | { kind: "object"; members: readonly Member[]; schema: Schema }
  /** Anything a form cannot show: edited as JSON text. */
  | { kind: "json"; schema: Schema };

export interface Member {
  name: string;
  label: string;
  isRequired: boolean;
  field: Field;
}

const DEEPEST = 5;

/** Read a schema as a form. References are followed within `root`. */
export function fieldOf(schema: unknown, root: unknown = schema, depth = 0): Field {
  const plain = simple(isObject(schema) ? schema : {}, root);
  if (depth > DEEPEST || plain === null) return { kind: "json", schema: isObject(schema) ? schema : {} };
  const options = plain["enum"];
  if (Array.isArray(options) && options.length > 0) return { kind: "choice", options, schema: plain };
  switch (typeOf(plain)) {
    case "string": {
      const longest = plain["maxLength"];
      const isShort = typeof plain["format"] === "string" || (typeof longest === "number" && longest <= 80);
      return { kind: "text", multiline: !isShort, schema: plain };
    }
    case "integer":
      return { kind: "number", isWhole: true, schema: plain };
    case "number":
      return { kind: "number", isWhole: false, schema: plain };
    case "boolean":
      return { kind: "boolean", schema: plain };
    case "array": {
      const item = plain["items"];
      return isObject(item) && !("prefixItems" in plain)
        ? { kind: "list", item: fieldOf(item, root, depth + 1), schema: plain }
        : { kind: "json", schema: plain };
    }
    case "object":
      return objectField(plain, root, depth);
    default:
      return { kind: "json", schema: plain };
  }
}

/** Return the value that a new field begins with. */
export function blank(field: Field): unknown {
  if ("default" in field.schema) return field.schema["default"];
  switch (field.kind) {
    case "text":
      return "";
    case "number":
      return typeof field.schema["minimum"] === "number" ? field.schema["minimum"] : 0;
    case "boolean":
      return false;
    case "choice":
      return field.options[0];
    case "list":
      return [];
    case "object":
      return Object.fromEntries(
        field.members.filter((member) => member.isRequired).map((member) => [member.name, blank(member.field)]),
      );
    case "json":
      return null;
  }
}

/** `user_id` and `userId` become `User id`. */
export function labelOf(name: string, schema?: Schema): string {
  const title = schema?.["title"];
  if (typeof title === "string" && title) return title;
  const words = name.replace(/[_-]+/g, " ").replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase().trim();
  return words ? words[0]!.toUpperCase() + words.slice(1) : name;
}

function objectField(schema: Schema, root: unknown, depth: number): Field {
  const properties = schema["properties"];
  // Members with names of their own need a form that nobody can draw beforehand.
  if (!isObject(properties) || Object.keys(properties).length === 0) return { kind: "json", schema };
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  const members = Object.entries(properties).map(([name, member]) => {
    const field = fieldOf(member, root, depth + 1);
    return { name, label: labelOf(name, field.schema), isRequired: required.includes(name), field };
  });
  return { kind: "object", members, schema };
}

/** Whether `null` fits, too. */
export function isNullable(schema: Schema): boolean {
  return schema["nullable"] === true || (Array.isArray(schema["type"]) && schema["type"].includes("null"));
}

/** Resolve references and "this or null"; `null` for other unions. */
function simple(schema: Schema, root: unknown): Schema | null {
  let current = schema;
  for (let step = 0; step < DEEPEST; step++) {
    const reference = current["$ref"];
    const union = current["anyOf"] ?? current["oneOf"];
    if (typeof reference === "string") {
      const target = lookUp(reference, root);
      if (target === null) return null;
      const { $ref: _, ...rest } = current;
      current = { ...target, ...rest };
    } else if (Array.isArray(union)) {
      const others = union.filter((option) => !(isObject(option) && option["type"] === "null"));
      if (others.length !== 1 || !isObject(others[0])) return null;
      const { anyOf: _a, oneOf: _o, ...rest } = current;
      const nullable = others.length < union.length ? { nullable: true } : {};
      current = { ...others[0], ...rest, ...nullable };
    } else if ("allOf" in current || "not" in current || "if" in current) {
      return null;
    } else {
      return current;
    }
  }
  return null;
}

function lookUp(reference: string, root: unknown): Schema | null {
  if (!reference.startsWith("#/")) return null;
  let target: unknown = root;
  for (const part of reference.slice(2).split("/")) {
    const key = decodeURIComponent(part).replace(/~1/g, "/").replace(/~0/g, "~");
    target = isObject(target) ? target[key] : undefined;
  }
  return isObject(target) ? target : null;
}

function typeOf(schema: Schema): string | undefined {
  const type = schema["type"];
  if (typeof type === "string") return type;
  if (Array.isArray(type)) {
    const others = type.filter((one) => one !== "null");
    // One type, or none that a form can show.
    return others.length === 1 ? (others[0] as string) : undefined;
  }
  if (isObject(schema["properties"])) return "object";
  return undefined;
}
