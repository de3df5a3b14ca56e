import { afterEach, beforeEach, expect, test, vi } from "vitest";

const started = (runId: string) => ({ type: "RUN_STARTED", threadId: "t-1", runId });
const finished = (runId: string) => ({ type: "RUN_FINISHED", threadId: "t-1", runId });
const user = (id: string) => ({ id, role: "user", content: id });

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

test("what was sent while the thread was opened stays in its place", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    if (init.method === "POST") {
      const { runId, messages } = JSON.parse(init.body as string) as { runId: string; messages: { id: string }[] };
      asked.push(runId, messages[0]!.id);
      return Response.json({ runId, threadId: "t-1", status: "running" });
    }
    if (!url.includes("connect=true")) return new Promise(() => {});
    // The first line broke; meanwhile the second message has been sent, and its run has begun.
    await vi.waitUntil(() => asked.length === 4);
    const [, first, run, second] = asked as [string, string, string, string];
    const messages = [user(first), { id: "a-1", role: "assistant", content: "hi" }, user(second)];
    return stream(["2-3.2", started(run)], ["2-3.1", { type: "MESSAGES_SNAPSHOT", messages }], ["2-3", finished(run)]);
  });
  const { LiveThreadSession } = await import("../../src/session/thread-session");
  const { signal } = await import("@preact/signals");
  const nothing = signal(null);
  const session = new LiveThreadSession({
    threadId: "t-1",
    isNew: true,
    title: nothing,
    agentId: nothing,
    tools: () => [],
    onActivity: () => {},
  });
  await session.send("first");
  await session.send("second");
  const ids = () => session.messages.value.map(({ id }) => id);
  await vi.waitFor(() => expect(ids()).toContain("a-1"));
  session.close();
  expect(ids()).toEqual([asked[1], "a-1", asked[3]]);
});
