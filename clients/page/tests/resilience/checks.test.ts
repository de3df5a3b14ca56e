import { EventType, type Message } from "@ag-ui/client";
import { describe, expect, it } from "vitest";
import { arrivalsSince, compareTexts } from "../../src/resilience/checks";
import type { LoggedEvent } from "../../src/session/types";

const entry = (cursor: string | null, receivedAt: number): LoggedEvent => ({
  cursor,
  event: { type: EventType.RAW } as LoggedEvent["event"],
  receivedAt,
  bytes: 1,
});
const said = (id: string, role: "user" | "assistant" | "tool", content: string) =>
  ({ id, role, content, ...(role === "tool" && { toolCallId: "c" }) }) as Message;

describe("arrivalsSince", () => {
  it.each([
    ["in order over two runs", ["1-8", "1-9", "2-1", "2-2"], 3, 0],
    ["one again", ["1-8", "1-9", "1-9", "1-10"], 3, 1],
    ["all again", ["1-8", "1-7", "1-8"], 2, 2],
    ["an opening, which counts down", ["1-8", "1-8.2", "1-8.1", "1-9"], 3, 0],
    ["without cursors", ["1-8", null, null], 2, 0],
  ])("counts %s", (_, cursors, count, twice) => {
    const entries = cursors.map((cursor, place) => entry(cursor, place));
    expect(arrivalsSince(entries, 1)).toEqual({ count, twice });
  });
});

describe("compareTexts", () => {
  const stored = [said("m-2", "user", "hello"), said("m-3", "assistant", "Hi."), said("t-1", "tool", "{}")];
  it.each([
    ["the same", [...stored], true],
    ["the same with older ones before", [said("m-1", "user", "x"), ...stored], true],
    ["a shorter text", [stored[0]!, said("m-3", "assistant", "Hi")], false],
    ["a message too few", [stored[0]!], false],
    ["a message too many", [...stored, said("m-4", "assistant", "")], false],
    ["another order of the tools", [stored[2]!, ...stored.slice(0, 2)], true],
  ])("knows %s", (_, shown, isEqual) => {
    expect(compareTexts(shown, stored)).toEqual({ isEqual, characters: 8 });
  });

  it("takes two empty threads as equal", () => {
    expect(compareTexts([], [])).toEqual({ isEqual: true, characters: 0 });
  });
});
