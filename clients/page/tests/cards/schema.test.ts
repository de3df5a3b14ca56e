import { describe, expect, it } from "vitest";
import { blank, fieldOf, labelOf } from "../../src/cards/schema";
import { complaintsOf } from "../../src/cards/validate";

const kind = (schema: unknown) => fieldOf(schema).kind;

describe("fieldOf", () => {
  it.each([
    [{ type: "string" }, "text"],
    [{ type: "integer" }, "number"],
    [{ type: "number" }, "number"],
    [{ type: "boolean" }, "boolean"],
    [{ enum: ["a", 2, null] }, "choice"],
    [{ type: "array", items: { type: "string" } }, "list"],
    [{ type: "object", properties: { a: { type: "string" } } }, "object"],
    [{ properties: { a: {} } }, "object"],
    [{ type: ["string", "null"] }, "text"],
    [{ anyOf: [{ type: "integer" }, { type: "null" }] }, "number"],
    [{ $ref: "#/$defs/Name", $defs: { Name: { type: "string" } } }, "text"],
    // What no form can show is edited as JSON.
    [{}, "json"],
    [true, "json"],
    [{ type: "object", additionalProperties: { type: "string" } }, "json"],
    [{ type: ["string", "integer"] }, "json"],
    [{ anyOf: [{ type: "string" }, { type: "integer" }] }, "json"],
    [{ allOf: [{ type: "string" }] }, "json"],
    [{ type: "array", prefixItems: [{ type: "string" }], items: {} }, "json"],
    [{ $ref: "#/$defs/Missing" }, "json"],
    [{ $ref: "https://example.com/schema" }, "json"],
  ])("reads %j", (schema, expected) => expect(kind(schema)).toBe(expected));

  it("ends with a schema that refers to itself", () => {
    const tree = { type: "object", properties: { child: { $ref: "#" } } };
    expect(JSON.stringify(fieldOf(tree))).toContain('"json"');
  });
});

describe("complaintsOf", () => {
  const field = fieldOf({
    type: "object",
    properties: {
      name: { type: "string", minLength: 1, maxLength: 5 },
      age: { type: "integer", minimum: 0, exclusiveMaximum: 10 },
      tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 2 },
      note: { type: ["string", "null"] },
      code: { type: "string", pattern: "^[A-Z]+$" },
      more: { type: "object" },
      evil: { type: "string", pattern: "^(a+)+$" },
    },
    required: ["name"],
  });

  it.each([
    [{ name: "Ada", age: 3, tags: ["a"], note: null, code: "AB" }, {}],
    [{}, { "/name": "This is needed." }],
    [{ name: "" }, { "/name": "This is needed." }],
    [{ name: "Adelaide" }, { "/name": "At most 5 characters." }],
    [{ name: "Ada", age: 1.5 }, { "/age": "Write a whole number." }],
    [{ name: "Ada", age: null }, { "/age": "Write a number." }],
    [{ name: "Ada", age: -1 }, { "/age": "At least 0." }],
    [{ name: "Ada", age: 10 }, { "/age": "Less than 10." }],
    [{ name: "Ada", tags: ["a", "c"] }, { "/tags/1": "Choose one of the options." }],
    [{ name: "Ada", tags: ["a", "a", "a"] }, { "/tags": "At most 2 items." }],
    [{ name: "Ada", code: "ab" }, { "/code": "Does not fit the pattern ^[A-Z]+$." }],
    [{ name: "Ada", evil: `${"a".repeat(40)}!` }, {}],
    [{ name: "Ada", more: undefined }, { "/more": "This is no valid JSON." }],
    [undefined, { "": "Make an object." }],
  ])("judges %j", (value, expected) => expect(Object.fromEntries(complaintsOf(field, value))).toEqual(expected));
});

it("begins a form with values of the right kind", () => {
  const field = fieldOf({
    type: "object",
    properties: { a: { type: "string" }, b: { type: "integer", minimum: 2 }, c: { enum: ["x", "y"] }, d: { default: 7 }, e: { type: "boolean" } },
    required: ["a", "b", "c", "d"],
  });
  expect(blank(field)).toEqual({ a: "", b: 2, c: "x", d: 7 });
});

it.each([
  ["user_id", "User id"],
  ["maxItems", "Max items"],
  ["url", "Url"],
])("names the field %s", (name, label) => expect(labelOf(name)).toBe(label));
