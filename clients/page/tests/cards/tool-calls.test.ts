import type { Interrupt, Message } from "@ag-ui/client";
import { expect, it } from "vitest";
import { callsOf, pendingClientCalls, readThread } from "../../src/cards/tool-calls";
import type { AssistantMessage } from "../../src/session/message-parts";
import type { RunView } from "../../src/session/types";

const user: Message = { id: "u", role: "user", content: "hello" };
const run = (status: RunView["status"]): RunView => ({ runId: "r", status, stages: [], error: null });
const call = (id: string, args = "{}") => ({ id, type: "function" as const, function: { name: "tool", arguments: args } });
const assistant = (...calls: ReturnType<typeof call>[]): AssistantMessage => ({ id: "a", role: "assistant", toolCalls: calls });
const result = (id: string, more: object = {}) => ({ id: `t-${id}`, role: "tool", toolCallId: id, content: "ok", ...more }) as Message;

function status(message: AssistantMessage, rest: readonly Message[], now: RunView | null, open: Interrupt[] = []) {
  return callsOf(message, readThread([user, message, ...rest], open, now)).map((view) => view.status);
}

it.each([
  ["writing", call("c", '{"a'), [], run("running")],
  ["running", call("c"), [], run("running")],
  ["done", call("c"), [result("c")], run("running")],
  ["declined", call("c"), [result("c", { metadata: { state: "denied" } })], run("succeeded")],
  ["failed", call("c"), [result("c", { metadata: { state: "error" } })], run("succeeded")],
  ["failed", call("c"), [result("c", { metadata: { state: "interrupted" } })], run("cancelled")],
  ["failed", call("c"), [result("c", { error: "no" })], run("succeeded")],
  ["pending", call("c"), [], run("succeeded")],
  ["unanswered", call("c"), [], run("cancelled")],
  ["unanswered", call("c"), [], run("failed")],
  ["unanswered", call("c"), [{ ...user, id: "u2" }], run("running")],
] as const)("a call is %s", (expected, one, rest, now) => {
  expect(status(assistant(one), [...rest] as Message[], now)).toEqual([expected]);
});

it("waits for the user while a question about it is open", () => {
  const open = [{ id: "i", reason: "tool_approval", toolCallId: "c" }];
  expect(status(assistant(call("c"), call("d")), [], run("interrupted"), open)).toEqual(["asking", "unanswered"]);
});

it("finds the calls that a client has to carry out, and only after the last message of the user", () => {
  const old: AssistantMessage = { ...assistant(call("old")), id: "a0" };
  const now = assistant(call("c"), call("d"));
  const facts = readThread([user, old, { ...user, id: "u2" }, now, result("d")], [], run("succeeded"));
  expect(pendingClientCalls(facts).map((view) => view.id)).toEqual(["c"]);
  expect(pendingClientCalls({ ...facts, run: run("running") })).toEqual([]);
});
