import { type BaseEvent, EventType, type Message } from "@ag-ui/client";
import { expect, it } from "vitest";
import { afterActivity, NO_ACTIVITY } from "../../src/cards/activity";
import { resultParts, shorten } from "../../src/cards/result-text";
import { stageSteps, waitingWords } from "../../src/cards/stage-steps";
import { messagesBy, subagentsFor } from "../../src/cards/subagents";
import { isTopLevel } from "../../src/session/owner";

const after = (...events: object[]) => events.reduce<typeof NO_ACTIVITY>((now, event) => afterActivity(now, event as BaseEvent), NO_ACTIVITY);
const begun = { type: EventType.RUN_STARTED, threadId: "t", runId: "r" };
const started = { type: EventType.SUBAGENT_STARTED, subagentRunId: "s", name: "researcher", parentToolCallId: "c" };
const uses = { type: EventType.TOOL_CALL_START, subagentRunId: "s", toolCallId: "d", toolCallName: "calculate" };

it.each([
  ["works", [started], { status: "running", doing: null }],
  ["uses a tool", [started, uses], { status: "running", doing: "uses calculate" }],
  ["is done", [started, uses, { type: EventType.SUBAGENT_FINISHED, subagentRunId: "s" }], { status: "done", doing: null }],
  ["fails", [started, { type: EventType.SUBAGENT_ERROR, subagentRunId: "s", message: "No." }], { status: "failed", message: "No." }],
  ["is stopped with its run", [started, { type: EventType.RUN_ERROR, message: "x" }], { status: "failed", message: "It was stopped." }],
  ["is told again to a client that connects", [started, begun, started], { status: "running" }],
])("a subagent %s", (_, events, expected) => {
  const { subagents } = after(begun, ...events);
  expect(subagents).toHaveLength(1);
  expect(subagents[0]).toMatchObject({ name: "researcher", parentCallId: "c", ...expected });
});

it("forgets the subagents of the run before", () => {
  expect(after(begun, started, { ...begun, runId: "r2" }).subagents).toEqual([]);
});

it("shows the newest progress of a tool", () => {
  const report = (message: string, progress: number | null) => ({
    type: EventType.CUSTOM,
    name: "agentroute.tool-progress",
    value: { toolCallId: "c", message, progress, total: 2 },
  });
  expect(after(begun, report("a", 1), report("b", null)).progress).toEqual({ c: { message: "b", progress: null, total: 2 } });
});

it("shows that the model is asked again, until it speaks", () => {
  const retrying = { type: EventType.CUSTOM, name: "agentroute.retrying", value: { attempt: 1, delayMs: 100, code: "model-unavailable" } };
  expect(after(begun, retrying).retry).toEqual({ attempt: 1, code: "model-unavailable" });
  expect(after(begun, retrying, { type: EventType.TEXT_MESSAGE_START, messageId: "m" }).retry).toBeNull();
});

it("keeps the same object for events that say nothing of it", () => {
  const now = after(begun, started);
  expect(afterActivity(now, { type: EventType.TEXT_MESSAGE_CONTENT } as BaseEvent)).toBe(now);
});

const call = (id: string) => ({ id, type: "function" as const, function: { name: "researcher", arguments: "{}" } });
const messages = [
  { id: "u", role: "user", content: "x" },
  { id: "a", role: "assistant", toolCalls: [call("c")] },
  { id: "s1", role: "assistant", content: "Looking.", subagentRunId: "s" },
  { id: "t", role: "tool", toolCallId: "c", content: "done" },
  { id: "a2", role: "assistant", content: "end" },
] as Message[];

it("finds the subagents of a call by their messages after a reload", () => {
  expect(subagentsFor("c", NO_ACTIVITY, messages)).toMatchObject([{ id: "s", name: "researcher", status: "done" }]);
  expect(subagentsFor("c", after(begun, started), messages)).toMatchObject([{ id: "s", status: "running" }]);
  expect(subagentsFor("other", NO_ACTIVITY, messages)).toEqual([]);
  expect(messagesBy("s", messages).map(({ id }) => id)).toEqual(["s1"]);
  expect(messages.filter(isTopLevel).map(({ id }) => id)).toEqual(["u", "a", "t", "a2"]);
});

it.each([
  ["", []],
  ["42", [{ kind: "text", text: "42" }]],
  ['{"a":1}', [{ kind: "json", text: '{\n  "a": 1\n}' }]],
  ['{"a":', [{ kind: "text", text: '{"a":' }]],
  [
    [
      { type: "text", text: "see" },
      { type: "image", source: { type: "data", value: "AAAA", mimeType: "image/png" } },
      { type: "document", source: { type: "file", value: "f-1", mimeType: "application/pdf" }, metadata: { url: "/files/f-1" } },
      { type: "hologram" },
    ],
    [
      { kind: "text", text: "see" },
      { kind: "image", url: "data:image/png;base64,AAAA", mimeType: "image/png" },
      { kind: "document", url: "/files/f-1", mimeType: "application/pdf" },
    ],
  ],
])("shows the result %j", (content, expected) => expect(resultParts(content as string)).toEqual(expected));

it("cuts long results, and only where that saves something", () => {
  expect(shorten("x".repeat(2_100)).rest).toBe(0);
  expect(shorten("x".repeat(5_000))).toEqual({ text: "x".repeat(2_000), rest: 3_000 });
  expect(shorten("long line of text\n".repeat(100)).text.split("\n")).toHaveLength(40);
});

it("tells the stages in words, and why a run waits", () => {
  const run = { runId: "r", status: "running" as const, error: null };
  expect(stageSteps({ ...run, stages: [] })).toEqual([{ name: "start", words: "Starting", status: "running" }]);
  expect(stageSteps({ ...run, stages: [{ name: "intent", status: "done" }, { name: "execution", status: "running" }, { name: "own", status: "running" }] })).toEqual([
    { name: "intent", words: "Understood", status: "done" },
    { name: "execution", words: "Working on it", status: "running" },
    { name: "own", words: "own", status: "running" },
  ]);
  expect(waitingWords(null)).toBe("Waiting to begin");
  expect(waitingWords({ waitsFor: "worker" })).toBe("Waiting for a free worker");
});
