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
