import { describe, expect, it, vi } from "vitest";

vi.stubGlobal("document", { baseURI: "http://127.0.0.1:8000/" });
vi.stubGlobal("sessionStorage", { getItem: () => null });
const { isOfThisMachine } = await import("../../src/setup/embedded-mode");

describe("isOfThisMachine", () => {
  it.each([
    ["localhost", true],
    ["127.0.0.1", true],
    ["127.8.0.1", true],
    ["[::1]", true],
    ["127.0.0.1.example", false],
    ["agents.example.com", false],
    ["", false],
  ])("%s: %s", (host, is) => expect(isOfThisMachine(host)).toBe(is));
});
