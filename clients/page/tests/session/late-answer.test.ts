import { expect, test, vi } from "vitest";
import { finished, openSession, playBrowser, snapshot, started, stream, user, type SentRun } from "./played-service";

playBrowser();

test("a run that has ended before its request is answered has ended", async () => {
  let isTold = false;
  const session = await openSession({
    isNew: false,
    connect: async () => stream(["1-2.2", started("r-1")], ["1-2.1", snapshot(user("u-1"))], ["1-2", finished("r-1")]),
    async follow(sent: readonly SentRun[]) {
      const run = await vi.waitUntil(() => sent[0]?.runId);
      if (isTold) return await new Promise(() => {});
      isTold = true;
      return stream(["2-1", started(run)], ["2-2", { type: "RUN_ERROR", code: "model-unavailable", message: "No model." }]);
    },
    async accept() {
      await vi.waitUntil(() => session.run.value?.status === "failed");
      return "queued";
    },
  });
  await vi.waitFor(() => expect(session.messages.value).toHaveLength(1));

  await session.send("hello");

  expect(session.run.value).toMatchObject({ status: "failed", error: { code: "model-unavailable" } });
  session.close();
});
