import type { Message } from "@ag-ui/client";
import { describe, expect, it } from "vitest";
import { inputOf, OwnRuns, withRun } from "../../src/session/own-runs";

const message = (id: string, role: "user" | "assistant" = "user"): Message => ({ id, role, content: id });
const talk = [message("m1"), message("a1", "assistant"), message("m2"), message("a2", "assistant")];
const ids = (messages: readonly Message[]) => messages.map(({ id }) => id);

describe("a run on top of a conversation", () => {
  it.each([
    ["a message", { messages: [message("m3")] }, ["m1", "a1", "m2", "a2", "m3"]],
    ["a message that the stream was faster with", { messages: [message("m2")] }, ["m1", "a1", "m2", "a2"]],
    ["an edit", { messages: [message("m3")], replaces: { messageId: "m2", keeps: false } }, ["m1", "a1", "m3"]],
    ["the same once more", { messages: [], replaces: { messageId: "m2", keeps: true } }, ["m1", "a1", "m2"]],
    ["an edit of what is not held", { messages: [message("m3")], replaces: { messageId: "x", keeps: false } }, ["m1", "a1", "m2", "a2", "m3"]],
  ])("%s", (_, run, expected) => {
    expect(ids(withRun(talk, { runId: "r", ...run }))).toEqual(expected);
  });

  it("is shown before the stream tells it, and not twice afterwards", () => {
    const own = new OwnRuns();
    own.add({ runId: "r1", messages: [message("m3")] });
    own.add({ runId: "r2", messages: [message("m4")] });
    expect(ids(own.applied(talk))).toEqual(["m1", "a1", "m2", "a2", "m3", "m4"]);

    expect([...own.messageIds.value]).toEqual(["m3", "m4"]);

    expect(own.take("r1")?.runId).toBe("r1");
    expect([...own.messageIds.value]).toEqual(["m4"]);
    expect(own.take("r1")).toBeUndefined();
    expect(ids(own.applied([...talk, message("m3")]))).toEqual(["m1", "a1", "m2", "a2", "m3", "m4"]);
  });
});

describe("what another page has sent", () => {
  it("is read from the stream", () => {
    const value = { runId: "r", messages: [message("m3")], regenerateFrom: "m2" };
    const run = inputOf({ name: "agentroute.input", value })!;
    expect(ids(withRun(talk, run))).toEqual(["m1", "a1", "m3"]);
    // Told twice around a broken line.
    expect(ids(withRun(withRun(talk, run), run))).toEqual(["m1", "a1", "m3"]);
  });

  it("may be answered again, and stays then", () => {
    const value = { runId: "r", messages: [message("m2")], regenerateFrom: "m2" };
    expect(ids(withRun(talk, inputOf({ name: "agentroute.input", value })!))).toEqual(["m1", "a1", "m2"]);
  });

  it("is nothing else", () => {
    expect(inputOf({ name: "agentroute.history", value: {} })).toBeNull();
  });
});
