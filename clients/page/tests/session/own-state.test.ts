import { expect, test, vi } from "vitest";
import { finished, openSession, playBrowser, snapshot, started, stream, user, type SentRun } from "./played-service";

playBrowser();

const begun = (sent: readonly SentRun[]) => vi.waitUntil(() => sent[0]?.runId);

/** The agent changes the state in the moment in which it gets the user's. */
async function changedAtOnce(session: Awaited<ReturnType<typeof openSession>>) {
  const { SharedStore } = await import("../../src/shared-state/shared-store");
  const store = new SharedStore(session);
  store.edit({ list: [] });
  await session.send("put milk on the list");
  await vi.waitFor(() => expect(store.shared.value.agent).toEqual({ list: ["milk"] }));
  session.close();
  const { changed, conflict, draft } = store.shared.value;
  return { changed: [...changed], conflict, draft };
}

test("what the agent changes in the moment in which it gets the user's state is a change, and no conflict", async () => {
  let isTold = false;
  const session = await openSession({
    isNew: false,
    connect: async () => stream(["1-2.2", started("r-1")], ["1-2.1", snapshot(user("u-1"))], ["1-2", finished("r-1")]),
    async follow(sent) {
      const run = await begun(sent);
      if (isTold) return await new Promise(() => {});
      isTold = true;
      // One piece of the stream: the page draws once for all of it.
      return stream(
        ["2-1", started(run)],
        ["2-2", { type: "STATE_SNAPSHOT", snapshot: { list: [] } }],
        ["2-3", { type: "STATE_DELTA", delta: [{ op: "add", path: "/list/-", value: "milk" }] }],
        ["2-4", finished(run)],
      );
    },
  });
  await vi.waitFor(() => expect(session.messages.value).toHaveLength(1));
  expect(await changedAtOnce(session)).toEqual({ changed: ["/list/0"], conflict: null, draft: null });
});

test("the same in the moment in which the thread is opened", async () => {
  const session = await openSession({
    isNew: true,
    async connect(sent) {
      const run = await begun(sent);
      return stream(
        ["1-3.3", started(run)],
        ["1-3.2", { type: "STATE_SNAPSHOT", snapshot: { list: ["milk"] } }],
        ["1-3.1", snapshot(user("u-1"))],
        ["1-3", finished(run)],
      );
    },
  });
  expect(await changedAtOnce(session)).toEqual({ changed: ["/list/0"], conflict: null, draft: null });
});
