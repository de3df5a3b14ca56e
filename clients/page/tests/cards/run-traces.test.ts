import type { Message } from "@ag-ui/client";
import { expect, it } from "vitest";
import { runTraces } from "../../src/cards/run-traces";
import type { RunView } from "../../src/session/types";

const user = (id: string) => ({ id, role: "user", content: id }) as Message;
const answer = (more: object = {}) => ({ id: "a", role: "assistant", content: "x", ...more }) as Message;
const CUT = { metadata: { incomplete: true } };
const failed: RunView = { runId: "r", status: "failed", stages: [], error: { code: "model-unavailable", message: "x" } };

it.each([
  ["a whole answer", [answer()], null],
  ["a whole answer after a piece that was cut off", [answer(CUT), answer()], null],
  ["a subagent that was cut off", [answer({ ...CUT, subagentRunId: "s" }), answer()], null],
  ["an answer that was cut off", [answer(), answer(CUT)], "This answer was cut off."],
  ["no answer", [], "There was no answer."],
])("says of a message before the newest one with %s: %s", (_, answers, words) => {
  const traces = runTraces([user("m1"), ...answers, user("m2")], new Map());
  expect([...traces]).toEqual(words === null ? [] : [["m1", words]]);
});

it("says what was seen of the run, and nothing of the newest message", () => {
  const seen = new Map([["m1", failed], ["m2", { ...failed, status: "cancelled" as const, error: null }], ["m3", failed]]);
  expect([...runTraces([user("m1"), user("m2"), answer(CUT), user("m3")], seen)]).toEqual([
    ["m1", "This answer failed. The model cannot be reached."],
    ["m2", "This answer was stopped."],
  ]);
});
