import type { Message } from "@ag-ui/client";
import { describe, expect, it } from "vitest";
import { rememberRequest, sentRequest } from "../../src/api/sent-requests";
import { asNewRun, requestOfRun } from "../../src/inspector/run-request";

const MESSAGES = [
  { id: "u-1", role: "user", content: "first", metadata: { x: 1 } },
  { id: "a-1", role: "assistant", content: "one" },
  { id: "u-2", role: "user", content: "second" },
  { id: "a-2", role: "assistant", content: "two" },
] as unknown as Message[];

describe("the request of a run", () => {
  it("is what this page sent, word for word", () => {
    const sent = { path: "/runs", body: '{"threadId":"t","runId":"r-own","messages":[]}' };
    rememberRequest("r-own", sent);
    expect(requestOfRun("t", "r-own", MESSAGES, new Set())).toEqual({ sent, isExact: true });
  });

  it("of another device is the message that it answers, as the stream tells it or the conversation has it", () => {
    const of = (written: string[]) => requestOfRun("t", "r", MESSAGES, new Set(written));
    expect(JSON.parse(of(["a-1"])!.sent.body)).toEqual({
      threadId: "t",
      runId: "r",
      messages: [{ id: "u-1", role: "user", content: "first" }],
    });
    expect(JSON.parse(of(["a-2"])!.sent.body).messages[0].id).toBe("u-2");
    expect(JSON.parse(of([])!.sent.body).messages[0].id).toBe("u-2");
    expect(of(["a-1"])!.isExact).toBe(false);
    expect(requestOfRun("t", "r", [], new Set())).toBeNull();

    const told = { messages: [{ id: "u-9", role: "user", content: "told" }], regenerateFrom: "u-1" };
    expect(JSON.parse(requestOfRun("t", "r", MESSAGES, new Set(["a-2"]), told)!.sent.body)).toEqual({
      threadId: "t",
      runId: "r",
      messages: told.messages,
      forwardedProps: { regenerateFrom: "u-1" },
    });
  });

  it("becomes a new run without the ids that make it the old one", () => {
    const body = JSON.stringify({ threadId: "t", runId: "r", messages: [{ id: "m", role: "user", content: "x" }], state: 1 });
    expect(JSON.parse(asNewRun({ path: "/runs", body }).body)).toEqual({
      threadId: "t",
      messages: [{ role: "user", content: "x" }],
      state: 1,
    });
  });

  it("is kept for the newest runs only: bodies may hold images", () => {
    for (let number = 0; number < 40; number++) rememberRequest(`r-${number}`, { path: "/runs", body: "{}" });
    expect([sentRequest("r-0"), sentRequest("r-39")]).toEqual([undefined, { path: "/runs", body: "{}" }]);
  });
});
