import { readdirSync, readFileSync } from "node:fs";
import { defaultApplyEvents, type AbstractAgent, type BaseEvent, type Message, type RunAgentInput } from "@ag-ui/client";
import { from } from "rxjs";
import { describe, expect, it } from "vitest";
import { runTraces } from "../../src/cards/run-traces";
import { answeredBy, isUnanswered } from "../../src/session/turns";
import { isVisible } from "../../src/session/visible";

const user = (id: string): Message => ({ id, role: "user", content: "x" });
const said = (id: string, more: object = {}) => ({ id, role: "assistant", content: "x", ...more }) as Message;
const silent = (id: string, more: object = {}) => said(id, { content: "", ...more });
const CUT = { metadata: { incomplete: true } };
const CALL = { toolCalls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }] };

it.each<[string, Message, boolean, boolean]>([
  ["an answer", said("a"), true, true],
  ["an answer that was cut off before its first word", silent("a", CUT), false, false],
  ["blank lines", said("a", { content: "\n \n" }), false, false],
  ["a call without words", silent("a", CALL), true, true],
  ["a subagent's words", said("a", { subagentRunId: "s" }), false, false],
  ["thoughts without a word", { id: "r", role: "reasoning", content: "" }, false, true],
  ["thoughts", { id: "r", role: "reasoning", content: "x" }, true, true],
  ["a tool's result", { id: "t", role: "tool", toolCallId: "c", content: "x" }, false, false],
  ["a user's file", { id: "u", role: "user", content: [] }, true, true],
])("shows what says something: %s", (_, message, whenWhole, whenGrowing) => {
  expect([isVisible(message), isVisible(message, true)]).toEqual([whenWhole, whenGrowing]);
});

it("puts the actions of an answer below what is there of it, and says when nothing is", () => {
  const messages = [user("m1"), said("a1"), silent("a2", CUT), user("m2"), silent("a3"), user("m3"), said("s", { subagentRunId: "s" })];
  expect([...answeredBy(messages)]).toEqual([["a1", "m1"]]);
  expect([...runTraces(messages, new Map())]).toEqual([
    ["m1", "This answer was cut off."],
    ["m2", "There was no answer."],
  ]);
  expect([isUnanswered(messages), isUnanswered([...messages, said("a")]), isUnanswered([])]).toEqual([true, false, false]);
});

describe("of every recorded run, cut off at every event,", () => {
  const folder = new URL("../../../../backend/tests/recorded/streams/", import.meta.url);
  const input: RunAgentInput = { threadId: "t", runId: "r", messages: [], tools: [], context: [], forwardedProps: {}, state: {} };

  /** What the official client holds after these events. */
  async function held(events: readonly BaseEvent[]): Promise<Message[]> {
    const agent = { messages: [user("m1")], state: {}, pendingInterrupts: [] };
    const changes = defaultApplyEvents(input, from(structuredClone(events)), agent as unknown as AbstractAgent, []);
    await changes.forEach(({ messages }) => void (agent.messages = messages ?? agent.messages));
    return agent.messages;
  }

  it("nothing empty is shown, and an answer or words about it are", async () => {
    let empty = 0;
    for (const name of readdirSync(folder)) {
      const { frames } = JSON.parse(readFileSync(new URL(name, folder), "utf8")) as { frames: string[] };
      const events = frames.map((frame) => JSON.parse(frame.slice(frame.indexOf("data: ") + 6)) as BaseEvent);
      for (let cut = 1; cut <= events.length; cut++) {
        const messages = await held(events.slice(0, cut));
        const shown = messages.filter((message) => isVisible(message));
        empty += messages.filter(({ role }) => role === "assistant").length - shown.filter(({ role }) => role === "assistant").length;
        for (const message of shown) expect(JSON.stringify([message.content ?? "", (message as { toolCalls?: unknown }).toolCalls ?? ""])).toMatch(/[^\s"[\],]/);
        const ends = [...answeredBy(messages).keys()];
        expect(shown.map(({ id }) => id)).toEqual(expect.arrayContaining(ends));
        // Below the question there is something: the actions of an answer, or that there is none. One snapshot lacks it.
        const traces = runTraces([...messages, user("m2")], new Map());
        if (messages.some(({ id }) => id === "m1")) expect(ends.length > 0 || traces.has("m1")).toBe(true);
      }
    }
    // Otherwise the recordings show nothing of it.
    expect(empty).toBeGreaterThan(0);
  });
});
