import type { BaseEvent } from "@ag-ui/client";
import { describe, expect, it } from "vitest";
import { isOfLog, placeOf } from "../../src/session/cursors";
import { filterRows, joinRows, NO_FILTER, rowsOfRun, summary, typeCounts } from "../../src/inspector/event-rows";
import type { LoggedEvent } from "../../src/session/types";

function logged(cursor: string | null, event: Record<string, unknown>, receivedAt = 1): LoggedEvent {
  return { cursor, event: event as unknown as BaseEvent, receivedAt, bytes: JSON.stringify(event).length };
}

const start = (ordinal: number, runId: string, timestamp: number, suffix = "") =>
  logged(`${ordinal}-1${suffix}`, { type: "RUN_STARTED", threadId: "t", runId, timestamp });

const LIVE = [
  start(1, "r-1", 1000),
  logged("1-2", { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "Hello Lisbon", timestamp: 1250 }),
  logged("1-3", { type: "RUN_FINISHED", runId: "r-1", timestamp: 1300 }),
  start(2, "r-2", 5000),
  logged("2-2", { type: "TEXT_MESSAGE_CONTENT", messageId: "n", delta: "hi", timestamp: 5010 }),
];

describe("cursors", () => {
  it("are an ordinal and a number; those of an opening are no places to follow from", () => {
    expect(placeOf("3-17")).toEqual({ ordinal: 3, seq: 17, before: 0 });
    expect(placeOf("3-17.2")).toEqual({ ordinal: 3, seq: 17, before: 2 });
    expect([placeOf(null), placeOf("x"), placeOf("3-")]).toEqual([null, null, null]);
    expect(["3-17", "3-17.2", "3-0", null].map(isOfLog)).toEqual([true, false, false, false]);
  });
});

describe("rows", () => {
  it("know their run and the time since its start", () => {
    const rows = joinRows(LIVE);
    expect(rows.map((row) => [row.key, row.runId, row.sinceStart])).toEqual([
      ["1-1", "r-1", 0],
      ["1-2", "r-1", 250],
      ["1-3", "r-1", 300],
      ["2-1", "r-2", 0],
      ["2-2", "r-2", 10],
    ]);
    expect(rowsOfRun(rows, "r-2").map((row) => row.cursor)).toEqual(["2-1", "2-2"]);
  });

  it("join what was loaded with what is live: each event once, in the order of the log", () => {
    const loaded = LIVE.slice(0, 3).map((entry) => ({ ...entry, receivedAt: null }));
    const rows = joinRows(LIVE.slice(2), loaded);
    expect(rows.map((row) => row.cursor)).toEqual(["1-1", "1-2", "1-3", "2-1", "2-2"]);
    expect(rows.map((row) => row.receivedAt !== null)).toEqual([false, false, true, true, true]);
    expect(rows[2]!.sinceStart).toBe(300);
  });

  it("put the opening of a stream before what follows it, and show an event as the log has it", () => {
    const opened = [
      start(3, "r-3", 80_000, "7.2"),
      logged("3-17.1", { type: "TEXT_MESSAGE_START", messageId: "m", timestamp: 80_100 }),
      logged("3-17", { type: "TEXT_MESSAGE_CONTENT", delta: "everything so far", timestamp: 80_400 }),
      logged("3-18", { type: "TEXT_MESSAGE_CONTENT", delta: "x", timestamp: 80_500 }),
    ];
    expect(joinRows(opened).map((row) => [row.runId, row.sinceStart])).toEqual([
      ["r-3", 0],
      ["r-3", 100],
      ["r-3", 400],
      ["r-3", 500],
    ]);
    const part = logged("3-17", { type: "TEXT_MESSAGE_CONTENT", delta: " far", timestamp: 80_400 });
    const rows = joinRows(opened, [start(3, "r-3", 80_000), part].map((entry) => ({ ...entry, receivedAt: null })));
    expect(rows.map((row) => row.cursor)).toEqual(["3-1", "3-17.2", "3-17.1", "3-17", "3-18"]);
    expect([rows[3]!.event, rows[3]!.receivedAt]).toEqual([part.event, 1]);
  });

  it("are filtered by type and by words of their JSON", () => {
    const rows = joinRows(LIVE);
    const found = (types: string[], text: string) =>
      filterRows(rows, { types: new Set(types), text }).map((row) => row.cursor);
    expect(filterRows(rows, NO_FILTER)).toBe(rows);
    expect(found(["RUN_STARTED"], "")).toEqual(["1-1", "2-1"]);
    expect(found([], "lisbon hello")).toEqual(["1-2"]);
    expect(found([], "2-")).toEqual(["2-1", "2-2"]);
    expect(found(["RUN_STARTED"], "r-2")).toEqual(["2-1"]);
    expect(found([], "nowhere")).toEqual([]);
    expect(typeCounts(rows)).toEqual([
      ["RUN_STARTED", 2],
      ["TEXT_MESSAGE_CONTENT", 2],
      ["RUN_FINISHED", 1],
    ]);
  });

  it("say in a few words what they are about", () => {
    const of = (event: Record<string, unknown>) => summary(event as unknown as BaseEvent);
    expect(of({ type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "hi" })).toBe("hi");
    expect(of({ type: "TOOL_CALL_START", toolCallId: "c", toolCallName: "calculate" })).toBe("calculate");
    expect(of({ type: "STATE_DELTA", delta: [{ op: "add", path: "/a" }] })).toBe('[{"op":"add","path":"/a"}]');
    expect(of({ type: "TEXT_MESSAGE_END", messageId: "m" })).toBe("");
    expect(of({ type: "TOOL_CALL_RESULT", content: "x".repeat(500) })).toHaveLength(201);
  });
});
