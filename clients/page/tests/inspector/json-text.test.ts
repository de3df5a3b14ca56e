import { describe, expect, it } from "vitest";
import { jsonPieces } from "../../src/inspector/json-text";

describe("coloured JSON", () => {
  const value = { "a\"b": ["x: 1", -1.5e-7, true, null, {}], n: 3, empty: "", quote: 'say "true": 12', uni: "漢\n" };

  it("is the JSON itself", () => {
    expect(jsonPieces(value).map(([, text]) => text).join("")).toBe(JSON.stringify(value, null, 2));
    expect(jsonPieces("only text")).toEqual([["string", '"only text"']]);
    expect(jsonPieces([])).toEqual([["plain", "[]"]]);
  });

  it("tells names from texts, numbers and words, also inside of texts", () => {
    const of = (kind: string) => jsonPieces(value).flatMap(([found, text]) => (found === kind ? [text] : []));
    expect(of("key")).toEqual(['"a\\"b"', '"n"', '"empty"', '"quote"', '"uni"']);
    expect(of("number")).toEqual(["-1.5e-7", "3"]);
    expect(of("word")).toEqual(["true", "null"]);
    expect(of("string")).toEqual(['"x: 1"', '""', '"say \\"true\\": 12"', '"漢\\n"']);
  });
});
