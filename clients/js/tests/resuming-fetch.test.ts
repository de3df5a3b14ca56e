import { HttpAgent } from "@ag-ui/client";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Bell, resumingFetch, StreamError, type ResumingFetchOptions } from "../src/index.js";
import { recordings } from "./recordings.js";
import { RecordedService, type Cut } from "./service.js";

let service: RecordedService;
beforeAll(async () => void (service = await RecordedService.start()));
afterAll(() => service.stop());

const QUICK: ResumingFetchOptions = { pauseMs: 1, maxPauseMs: 1 };

/** What a stock agent holds after a run. */
async function held(options: ResumingFetchOptions = QUICK) {
  const agent = new HttpAgent({ url: service.url, threadId: "t-1", fetch: resumingFetch(options) });
  const events: string[] = [];
  agent.subscribe({ onEvent: ({ event }) => void events.push(JSON.stringify(event)) });
  await agent.runAgent({ runId: "r-1" });
  const { messages, state, pendingInterrupts } = agent;
  return { messages, state, pendingInterrupts, events };
}

/** Byte borders in an event: in its `id`, in its `data`, in a character, before its last line break. */
function borders(frame: string): number[] {
  const bytes = Buffer.from(frame);
  const wide = bytes.findIndex((byte) => byte >= 0xc0);
  return [1, frame.indexOf("\n") + 1, frame.indexOf("\n") + 10, ...(wide < 0 ? [] : [wide + 1]), bytes.length - 1];
}

describe("a stock agent holds the same as on a whole line", () => {
  // Of the drawn ones, each third: the others are cut in `thread-agent.test.ts`, without a network.
  const all = recordings().filter(({ name }) => !name.startsWith("drawn") || Number(name.slice(-2)) % 3 === 0);
  for (const { name, frames } of all) {
    test(name, async () => {
      service.tell(frames);
      const whole = await held();
      for (const how of ["close", "reset"] as const) {
        // Every line breaks before its second event: a cut at each event of the run.
        const everywhere: Cut[] = frames.slice(1).map((frame, at) => {
          const places = [0, ...borders(frame)];
          return { events: 1, bytes: places[at % places.length]!, how };
        });
        service.tell(frames, ...everywhere);
        expect(await held()).toEqual(whole);
        expect(service.asked).toHaveLength(frames.length);
      }
    });
  }
});

test("a cut at every byte border of every event", async () => {
  const { frames } = recordings().find(({ name }) => name === "plain-chat")!;
  service.tell(frames);
  const whole = await held();
  for (const [at, frame] of frames.entries()) {
    for (const bytes of borders(frame)) {
      service.tell(frames, { events: at, bytes, how: at % 2 ? "close" : "reset" });
      expect(await held(), `${at} ${bytes}`).toEqual(whole);
    }
  }
});

describe("what is not only a broken line", () => {
  const frames = () => recordings().find(({ name }) => name === "plain-chat")!.frames;
  const broken = { events: 3, how: "close" } as const;

  test("gives up in words, and Node goes on", async () => {
    const uncaught = vi.fn();
    process.on("unhandledRejection", uncaught);
    vi.spyOn(console, "error").mockImplementation(() => {});
    service.tell(frames(), broken, { events: 0, how: "reset" }, { events: 0, how: "close" }, { events: 0, how: "close" });
    const error = await held({ ...QUICK, tries: 3 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StreamError);
    expect(error).toMatchObject({ code: "connection-lost" });
    expect((error as Error).message).toContain("4 connections in a row failed");
    await new Promise(setImmediate);
    expect(uncaught).not.toHaveBeenCalled();
    process.off("unhandledRejection", uncaught);
    vi.restoreAllMocks();
  });

  test("an answer that says no ends it with the words of the service", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    service.tell(frames(), broken);
    const body = JSON.stringify({ code: "not-found", detail: "No such thread." });
    const refuse = () => void service.refusals.push({ status: 404, body });
    const error = await held({ ...QUICK, onState: (state) => state === "reconnecting" && refuse() }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "not-found", status: 404, message: expect.stringContaining("No such thread.") });
    vi.restoreAllMocks();
  });
});

describe("while it waits", () => {
  const frames = recordings().find(({ name }) => name === "plain-chat")!.frames;
  const broken = { events: 3, how: "reset" } as const;

  /** Run until the line has broken; the pause would be for ever. */
  function waiting(options: ResumingFetchOptions = {}) {
    let agent: HttpAgent;
    const states: string[] = [];
    const paused = new Promise<void>((resolve) => {
      const onState = (state: string) => void (states.push(state), state === "reconnecting" && setImmediate(resolve));
      const fetch = resumingFetch({ pauseMs: 1e9, onState, ...options });
      agent = new HttpAgent({ url: service.url, threadId: "t-1", fetch });
    });
    return { agent: agent!, paused, states };
  }

  test("an abort ends the run at once", async () => {
    service.tell(frames, broken);
    const { agent, paused } = waiting();
    const ends: string[] = [];
    agent.subscribe({ onRunErrorEvent: ({ event }) => void ends.push(event.code!) });
    const running = agent.runAgent({ runId: "r-1" });
    await paused;
    agent.abortRun();
    await running;
    expect(ends).toEqual(["abort"]);
  });

  test("who stops reading ends it, too", async () => {
    service.tell(frames, broken);
    const stopped = vi.fn();
    const wake = () => stopped;
    const response = await resumingFetch({ pauseMs: 1e9, wake })(service.url, { method: "POST", body: "{}" });
    const reader = response.body!.getReader();
    for (let told = ""; !told.includes("3-3\n"); ) told += Buffer.from((await reader.read()).value!).toString();
    const rest = reader.read();
    await reader.cancel();
    expect((await rest).done).toBe(true);
    await vi.waitFor(() => expect(stopped).toHaveBeenCalled());
    expect(service.asked).toHaveLength(1);
  });

  test("it goes on when it is woken", async () => {
    service.tell(frames, broken);
    const bell = new Bell();
    const { agent, paused, states } = waiting({ wake: bell.wake });
    const running = agent.runAgent({ runId: "r-1" });
    await paused;
    bell.ring();
    await running;
    expect(states).toEqual(["connecting", "live", "reconnecting", "live"]);
    expect(service.asked).toEqual([undefined, "3-3"]);
  });
});

describe("the first request", () => {
  const frames = recordings().find(({ name }) => name === "plain-chat")!.frames;

  test("is sent again while the service is busy, and is the same run", async () => {
    service.tell(frames);
    service.refusals.push({ status: 503, headers: { "Retry-After": "0" } }, { status: 502 });
    expect((await held()).messages).toHaveLength(1);
    expect(service.asked).toHaveLength(3);
  });

  test("is answered with what the service says at last", async () => {
    service.tell(frames);
    for (let left = 4; left > 0; left--) service.refusals.push({ status: 503, body: "busy" });
    const response = await resumingFetch(QUICK)(service.url, { method: "POST", body: "{}" });
    expect([response.status, await response.text()]).toEqual([503, "busy"]);
  });

  test("fails as fetch does when nobody answers", async () => {
    const refused = Object.assign(new TypeError("fetch failed"));
    const fetch = vi.fn(async () => Promise.reject(refused));
    await expect(resumingFetch({ ...QUICK, firstTries: 2, fetch })(service.url, {})).rejects.toBe(refused);
    expect(fetch).toHaveBeenCalledTimes(3);
  });

  test("passes on what is no stream", async () => {
    service.tell(frames);
    service.refusals.push({ status: 409, body: "run-active" });
    expect((await resumingFetch(QUICK)(service.url, {})).status).toBe(409);
    expect(service.asked).toHaveLength(1);
  });
});

test("a token that has expired on the way is replaced, and kept", async () => {
  const { frames } = recordings().find(({ name }) => name === "plain-chat")!;
  service.tell(frames, { events: 2, how: "close" }, { events: 2, how: "close" });
  const tokens: (string | undefined)[] = [];
  const send = async (url: string, init: RequestInit) => {
    const token = (init.headers as Record<string, string>).authorization;
    if (tokens.push(token) === 2) return new Response(null, { status: 401 });
    return await fetch(url, init);
  };
  const onUnauthorized = async () => ({ Authorization: "new" });
  await held({ ...QUICK, fetch: send, onUnauthorized });
  expect(tokens).toEqual([undefined, undefined, "new", "new"]);
});

test("a line that has gone silent counts as broken", async () => {
  const { frames } = recordings().find(({ name }) => name === "plain-chat")!;
  const head = Buffer.from(frames.slice(0, 3).join(""));
  service.tell(frames);
  let asked = 0;
  const silent = async (url: string, init: RequestInit) => {
    if (asked++ > 0) return await fetch(url, init);
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(head);
        init.signal!.addEventListener("abort", () => controller.error(init.signal!.reason));
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  expect((await held({ ...QUICK, quietMs: 20, fetch: silent })).events).toHaveLength(frames.length);
  expect(asked).toBe(2);
});

test("a nested terminal event ends nothing", async () => {
  const inner = { type: "STATE_SNAPSHOT", snapshot: { log: [{ type: "RUN_FINISHED" }] } };
  const frames = [
    { type: "RUN_STARTED", threadId: "t-1", runId: "r-1" },
    inner,
    { type: "RUN_FINISHED", threadId: "t-1", runId: "r-1" },
  ].map((event, at) => `id: 1-${at + 1}\ndata: ${JSON.stringify(event)}\n\n`);
  service.tell(frames, { events: 2, how: "close" });
  expect((await held()).events).toHaveLength(3);
});
