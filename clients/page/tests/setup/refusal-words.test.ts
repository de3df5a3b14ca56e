import { describe, expect, it } from "vitest";
import { Problem } from "../../src/session/types";
import { isAddress, refusalOf } from "../../src/setup/refusal-words";

const problem = (members: Record<string, unknown>) => new Problem("model-refused", "What and why.", 422, false, null, null, [], members);

describe("refusalOf", () => {
  it.each([
    ["unreachable", "baseUrl"],
    ["address", "baseUrl"],
    ["key", "apiKey"],
    ["model-unknown", "name"],
    ["failed", null],
  ])("points at the field that %s is about", (reason, field) => {
    expect(refusalOf(problem({ reason }))).toEqual({ text: "What and why.", said: "", models: [], field });
  });

  it("has the endpoint's words and models", () => {
    const told = refusalOf(problem({ reason: "model-unknown", said: "HTTP 404: no", models: ["large", 3, "small"] }));
    expect([told.said, told.models]).toEqual(["HTTP 404: no", ["large", "small"]]);
  });

  it("says which field is invalid", () => {
    const errors = [{ pointer: "/apiKey", message: "begins with Bearer; set the key alone" }];
    expect(refusalOf(new Problem("invalid-request", "Invalid.", 422, false, null, null, errors))).toMatchObject({ field: "apiKey", text: "The key begins with Bearer; set the key alone." });
  });

  it("says something of what is no problem", () => {
    expect(refusalOf(new TypeError("x")).text).toContain("Try again");
  });
});

describe("isAddress", () => {
  it.each([
    ["https://api.example.com/v1", true],
    [" http://127.0.0.1:11434 ", true],
    ["api.example.com", false],
    ["ftp://host/v1", false],
    ["https://", false],
    ["", false],
  ])("%s is %s", (text, is) => expect(isAddress(text)).toBe(is));
});
