import { afterEach, beforeEach, expect, test, vi } from "vitest";

const started = (runId: string) => ({ type: "RUN_STARTED", threadId: "t-1", runId });
const finished = (runId: string) => ({ type: "RUN_FINISHED", threadId: "t-1", runId });

function stream(...events: [string, object][]): Response {
  const body = events.map(([id, event]) => `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`).join("");
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

beforeEach(() => {
  vi.stubGlobal("document", { baseURI: "http://page.test/" });
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("requestAnimationFrame", (draw: () => void) => setTimeout(draw));
  vi.stubGlobal("cancelAnimationFrame", clearTimeout);
});
afterEach(() => void vi.unstubAllGlobals());

test.each([
  ["which it gets the user's state", false],
  ["which the thread is opened", true],
])("what the agent changes in the moment in %s is a change, and no conflict", async (_when, isOpenedLate) => {
  let asked: string | null = null;
  let isTold = false;
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    if (init.method === "POST") {
      asked = (JSON.parse(init.body as string) as { runId: string }).runId;
      return Response.json({ runId: asked, threadId: "t-1", status: "running" });
    }
    if (url.includes("connect=true") && isOpenedLate) {
      await vi.waitUntil(() => asked !== null);
      const messages = [{ id: "u-1", role: "user", content: "put milk on the list" }];
      return stream(
        ["1-3.3", started(asked!)],
        ["1-3.2", { type: "STATE_SNAPSHOT", snapshot: { list: ["milk"] } }],
        ["1-3.1", { type: "MESSAGES_SNAPSHOT", messages }],
        ["1-3", finished(asked!)],
      );
    }
    if (url.includes("connect=true")) {
      const messages = [{ id: "u-1", role: "user", content: "hello" }];
      return stream(["1-2.2", started("r-1")], ["1-2.1", { type: "MESSAGES_SNAPSHOT", messages }], ["1-2", finished("r-1")]);
    }
    await vi.waitUntil(() => asked !== null);
    if (isTold || isOpenedLate) return new Promise(() => {});
    isTold = true;
    // One piece of the stream: the page draws once for all of it.
    return stream(
      ["2-1", started(asked!)],
      ["2-2", { type: "STATE_SNAPSHOT", snapshot: { list: [] } }],
      ["2-3", { type: "STATE_DELTA", delta: [{ op: "add", path: "/list/-", value: "milk" }] }],
      ["2-4", finished(asked!)],
    );
  });
  const { LiveThreadSession } = await import("../../src/session/thread-session");
  const { SharedStore } = await import("../../src/shared-state/shared-store");
  const { signal } = await import("@preact/signals");
  const nothing = signal(null);
  const session = new LiveThreadSession({
    threadId: "t-1",
    isNew: isOpenedLate,
    title: nothing,
    agentId: nothing,
    tools: () => [],
    onActivity: () => {},
  });
  if (!isOpenedLate) await vi.waitFor(() => expect(session.messages.value).toHaveLength(1));
  const store = new SharedStore(session);
  store.edit({ list: [] });

  await session.send("put milk on the list");
  await vi.waitFor(() => expect(store.shared.value.agent).toEqual({ list: ["milk"] }));
  session.close();

  const { changed, conflict, draft } = store.shared.value;
  expect([...changed]).toEqual(["/list/0"]);
  expect([conflict, draft]).toEqual([null, null]);
});
