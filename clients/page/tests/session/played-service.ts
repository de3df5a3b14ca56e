/** An open thread on a service that the test plays. */
import { signal } from "@preact/signals";
import { afterEach, beforeEach, vi } from "vitest";
import type { LiveThreadSession } from "../../src/session/thread-session";

export const started = (runId: string) => ({ type: "RUN_STARTED", threadId: "t-1", runId });
export const finished = (runId: string) => ({ type: "RUN_FINISHED", threadId: "t-1", runId });
export const user = (id: string) => ({ id, role: "user", content: id });
export const snapshot = (...messages: object[]) => ({ type: "MESSAGES_SNAPSHOT", messages });

/** Return an answer with these events, each with its cursor. */
export function stream(...events: [string, object][]): Response {
  const body = events.map(([id, event]) => `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`).join("");
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

/** What the page has sent to start a run. */
export interface SentRun {
  runId: string;
  messages: { id: string }[];
}

interface Played {
  isNew: boolean;
  /** Answers who connects, given the runs that were sent so far. */
  connect(sent: readonly SentRun[]): Promise<Response>;
  /** Answers who follows; keeps quiet if it is absent. */
  follow?(sent: readonly SentRun[]): Promise<Response>;
  /** Returns the status with which a run is accepted, when the answer is to come. */
  accept?(): Promise<string>;
}

/** Give the tests of a file what a browser has and Node has not. */
export function playBrowser(): void {
  beforeEach(() => {
    vi.stubGlobal("document", { baseURI: "http://page.test/" });
    vi.stubGlobal("sessionStorage", { getItem: () => null });
    vi.stubGlobal("requestAnimationFrame", (draw: () => void) => setTimeout(draw));
    vi.stubGlobal("cancelAnimationFrame", clearTimeout);
  });
  afterEach(() => void vi.unstubAllGlobals());
}

/** Open the thread `t-1`. Every run is accepted. */
export async function openSession(played: Played): Promise<LiveThreadSession> {
  const { isNew, connect, follow = () => new Promise(() => {}), accept = async () => "running" } = played;
  const sent: SentRun[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    if (init.method !== "POST") return await (url.includes("connect=true") ? connect(sent) : follow(sent));
    const run = JSON.parse(init.body as string) as SentRun;
    sent.push(run);
    return Response.json({ runId: run.runId, threadId: "t-1", status: await accept() });
  });
  // Later than the browser is played: it is looked at when the page is loaded.
  const { LiveThreadSession } = await import("../../src/session/thread-session");
  const nothing = signal(null);
  return new LiveThreadSession({ threadId: "t-1", isNew, title: nothing, agentId: nothing, tools: () => [], onActivity: () => {} });
}
