import { describe, expect, it } from "vitest";
import { jsonOrText, layOut } from "../../src/cards/loose-json";
import { summarise } from "../../src/cards/summary";

describe("layOut", () => {
  it.each([
    ['{"a":1,"b":[1,2],"c":{}}', '{\n  "a": 1,\n  "b": [\n    1,\n    2\n  ],\n  "c": {}\n}'],
    ["{}", "{}"],
    ["", ""],
    ['{"city":"Par', '{\n  "city": "Par'],
    ['{"a":{"b":', '{\n  "a": {\n    "b": '],
    ["{", "{"],
    ['{"text":"a, b: {c} \\" d"}', '{\n  "text": "a, b: {c} \\" d"\n}'],
    ["order 1234 is late", "order 1234 is late"],
  ])("lays out %s", (text, expected) => expect(layOut(text)).toBe(expected));

  it("loses nothing but white space at every cut of a text", () => {
    const text = '{"to": ["a b", {"x": null}], "n": -1.5e3, "s": "\\\\\\""}';
    for (let end = 0; end <= text.length; end++) {
      const part = text.slice(0, end);
      expect(layOut(part).replace(/\s/g, "")).toBe(part.replace(/\s/g, ""));
    }
    expect(JSON.parse(layOut(text))).toEqual(JSON.parse(text));
  });
});

describe("summarise", () => {
  it.each([
    ['{"expression":"6*7"}', "6*7"],
    ['{"city":"Paris","days":3}', "city: Paris, days: 3"],
    ['{"name":"T","values":[3,5,8]}', "name: T, values: 3, 5, 8"],
    ['{"title":"Sales","values":[3,5,8]}', "Sales"],
    ['{"operations":[{"op":"add"}]}', "1 item"],
    ["{}", ""],
    ['{"city":"Par', '{"city":"Par'],
    [JSON.stringify({ text: "x".repeat(300) }), `${"x".repeat(59)}…`],
  ])("says what %s is about", (text, expected) => expect(summarise(text)).toBe(expected));
});

it.each([["null", null], ["[1]", [1]], ["milk", "milk"], ["", ""]])("reads %j as JSON, or as a text", (text, value) => expect(jsonOrText(text)).toEqual(value));
