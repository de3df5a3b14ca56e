import { expect, test } from "vitest";
import { Problem } from "../../src/session/types";
import { WORDS, wordsOf } from "../../src/problems/words";
import document from "../../../../docs/problems.md?raw";

const codes = [...document.matchAll(/^## (\S+)$/gm)].map((found) => found[1]!);

test("every code of the documented list has words, and no other", () => {
  expect(codes.length).toBeGreaterThan(50);
  expect(Object.keys(WORDS).sort()).toEqual(codes.sort());
});

test("words are whole sentences, say what to do, and are short", () => {
  for (const [code, { title, advice }] of Object.entries(WORDS)) {
    expect(title, code).toMatch(/^[A-Z].{8,70}\.$/);
    expect(advice, code).toMatch(/^[A-Z].{8,140}\.$/);
  }
});

test("what may succeed later can be tried again", () => {
  const retryable = [...document.matchAll(/^## (\S+)\n\n.*, retryable\.$/gm)].map((found) => found[1]!);
  expect(retryable.length).toBeGreaterThan(10);
  expect(retryable.filter((code) => WORDS[code]!.remedy !== "again")).toEqual([]);
});

test("a code that nobody knows gets the service's own sentence", () => {
  const problem = new Problem("brand-new", "The moon is in the way.", 409, true);
  expect(wordsOf(problem)).toEqual({ title: "The moon is in the way.", advice: "Try again in a moment.", remedy: "again" });
  expect(wordsOf(new Problem("http-502", "x", 502, true)).title).toBe("The service does not answer properly.");
  expect(wordsOf(new Problem("network", "x", 0, true)).title).toBe("The service cannot be reached.");
  expect(wordsOf(new Problem("toString", "Odd.", 400, false)).title).toBe("Odd.");
});
