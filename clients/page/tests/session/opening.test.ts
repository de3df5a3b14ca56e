import { expect, test, vi } from "vitest";
import { finished, openSession, playBrowser, snapshot, started, stream, user, type SentRun } from "./played-service";

playBrowser();

test("what was sent while the thread was opened stays in its place", async () => {
  let runs: readonly SentRun[] = [];
  const session = await openSession({
    isNew: true,
    // The first line broke; meanwhile the second message has been sent, and its run has begun.
    async connect(sent) {
      runs = await vi.waitUntil(() => sent.length === 2 && sent);
      const [first, second] = runs as [SentRun, SentRun];
      const told = snapshot(user(first.messages[0]!.id), { id: "a-1", role: "assistant", content: "hi" }, user(second.messages[0]!.id));
      return stream(["2-3.2", started(second.runId)], ["2-3.1", told], ["2-3", finished(second.runId)]);
    },
  });
  await session.send("first");
  await session.send("second");
  const ids = () => session.messages.value.map(({ id }) => id);
  await vi.waitFor(() => expect(ids()).toContain("a-1"));
  session.close();
  const [first, second] = runs.map(({ messages }) => messages[0]!.id);
  expect(ids()).toEqual([first, "a-1", second]);
});

test("the log has events as they came, although the client goes on writing in their messages", async () => {
  const told = snapshot(user("m-1"), { id: "a-1", role: "assistant", content: "" });
  const text = (type: string, more: object = {}) => ({ type: `TEXT_MESSAGE_${type}`, messageId: "a-1", ...more });
  const session = await openSession({
    isNew: false,
    connect: async () =>
      stream(["1-4.2", started("r-1")], ["1-4.1", told], ["1-4", text("START", { role: "assistant" })], ["1-5", text("CONTENT", { delta: "hi" })], ["1-6", text("END")], ["1-7", finished("r-1")]),
  });
  await vi.waitFor(() => expect(session.messages.value.at(-1)).toMatchObject({ id: "a-1", content: "hi" }));
  await vi.waitFor(() => expect(session.run.value?.status).toBe("succeeded"));
  session.close();
  expect(session.log.entries().map(({ event }) => event)[1]).toEqual(told);
  expect(session.unanswered.value.size).toBe(0);
});

test("says of a run that ended well and said nothing that there was no answer", async () => {
  const session = await openSession({
    isNew: false,
    connect: async () =>
      stream(["1-4.1", started("r-1")], ["1-4", snapshot(user("m-1"), { id: "a-1", role: "assistant", content: "" })], ["1-5", finished("r-1")]),
  });
  await vi.waitFor(() => expect(session.run.value?.status).toBe("succeeded"));
  session.close();
  expect(session.unanswered.value.get("m-1")).toBe(session.run.value);
});
