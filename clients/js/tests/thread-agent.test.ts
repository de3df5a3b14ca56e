import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FollowedThread, StreamError, ThreadAgent, type Frame, type ThreadAgentConfig } from "../src/index.js";
import { recordings } from "./recordings.js";

/** Events of a thread's opening, whose ids count down to a cursor. */
function opening(cursor: string, ...events: object[]): string[] {
  const place = (at: number) => (at < events.length - 1 ? `${cursor}.${events.length - 1 - at}` : cursor);
  return events.map((event, at) => frame(place(at), event));
}

const frame = (id: string, event: object) => `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`;
const started = (runId: string) => ({ type: "RUN_STARTED", threadId: "t-1", runId });
const finished = (runId: string, outcome: object = { type: "success" }) => ({
  type: "RUN_FINISHED",
  threadId: "t-1",
  runId,
  outcome,
});
const snapshot = (...messages: object[]) => ({ type: "MESSAGES_SNAPSHOT", messages });
const user = { id: "u-1", role: "user", content: "hi" };
const OLD = opening("2-9", started("r-2"), snapshot(user), finished("r-2"));
const EMPTY = opening("0-0", started("connect-1"), snapshot(), finished("connect-1"));

type Answer = readonly string[] | { status: number; code?: string };

/** A thread whose service gives these answers, one a request; then it keeps the line open. */
function thread(answers: Answer[], config: Partial<ThreadAgentConfig> = {}) {
  const asked: { place: string; last: string | undefined; token: string | undefined }[] = [];
  const frames: Frame[] = [];
  let settled: () => void;
  const quiet = new Promise<void>((resolve) => (settled = resolve));
  const agent = new ThreadAgent({
    baseUrl: "http://service.invalid",
    threadId: "t-1",
    pauseMs: 0,
    onFrame: (told) => frames.push(told),
    fetch: async (url, init) => {
      const headers = init.headers as Record<string, string>;
      asked.push({ place: url.split("&")[1]!, last: headers["Last-Event-ID"], token: headers.Authorization });
      const answer = answers.shift();
      if (answer === undefined) return settled(), open(init.signal!);
      if ("status" in answer) {
        const body = answer.status === 204 ? null : JSON.stringify({ code: answer.code });
        return new Response(body, { status: answer.status });
      }
      return new Response(answer.join(""), { headers: { "Content-Type": "text/event-stream" } });
    },
    ...config,
  });
  return { agent, asked, frames, quiet };
}

function open(signal: AbortSignal): Response {
  const body = new ReadableStream({ start: (it) => signal.addEventListener("abort", () => it.error(signal.reason)) });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

describe("every recorded run, on a line that breaks at every event", () => {
  for (const { name, frames: run } of recordings()) {
    test(name, async () => {
      const whole = thread([OLD, run]);
      const broken = thread([...OLD, ...run].map((event) => [event]));
      for (const { agent, quiet } of [whole, broken]) {
        const following = agent.follow();
        await quiet;
        agent.close();
        expect(await following).toBe("closed");
      }
      expect(broken.agent.messages).toEqual(whole.agent.messages);
      expect(broken.agent.state).toEqual(whole.agent.state);
      expect(broken.agent.pendingInterrupts).toEqual(whole.agent.pendingInterrupts);
      expect(broken.frames).toEqual(whole.frames);
      expect(broken.frames.map(({ cursor, data }) => `id: ${cursor}\ndata: ${data}\n\n`)).toEqual([...OLD, ...run]);
    });
  }
});

test("it goes on at the place of the last event", async () => {
  const { agent, asked, quiet } = thread([[], [OLD[0]!], [OLD[1]!, OLD[2]!], [], [frame("3-1", started("r-3"))]]);
  const following = agent.follow();
  await quiet;
  agent.close();
  await following;
  expect(asked.map(({ place, last }) => [place, last])).toEqual([
    ["connect=true", undefined],
    ["connect=true", undefined],
    ["connect=true", "2-9.2"],
    ["cursor=2-9", undefined],
    ["cursor=2-9", undefined],
    ["cursor=3-1", undefined],
  ]);
  expect(agent.cursor).toBe("3-1");
});

test("everything was told when a stream that connects has nothing more", async () => {
  const { agent, asked, quiet } = thread([OLD.slice(0, 2), { status: 204 }]);
  void agent.follow();
  await quiet;
  expect(asked.at(-1)!.place).toBe("cursor=2-9");
  agent.close();
});

describe("a thread that nobody has begun", () => {
  test("is asked for when it is begun", async () => {
    const { agent, asked, quiet } = thread([EMPTY]);
    const following = agent.follow();
    await vi.waitFor(() => expect(agent.cursor).toBe("0-0"));
    expect(asked).toHaveLength(1);
    agent.begun();
    await quiet;
    expect(asked[1]!.place).toBe("cursor=0-0");
    agent.close();
    expect(await following).toBe("closed");
  });

  test("may be begun before the service has said that it is not", async () => {
    const { agent, quiet } = thread([EMPTY]);
    agent.begun();
    const following = agent.follow();
    await quiet;
    agent.close();
    await following;
  });

  test.each([
    ["is not there", EMPTY, false],
    ["is there", OLD, true],
  ])("%s, says the opening", async (_, told, exists) => {
    const thread: FollowedThread = new FollowedThread({
      baseUrl: "http://service.invalid",
      threadId: "t-1",
      fetch: async () => new Response(told.join(""), { headers: { "Content-Type": "text/event-stream" } }),
      onFrame: ({ event }) => event.type === "RUN_FINISHED" && thread.close(),
    });
    for await (const block of thread.blocks()) void block;
    expect(thread.exists).toBe(exists);
  });

  test("is not taken for a deleted one when its opening was cut off", async () => {
    const { agent, asked, quiet } = thread([EMPTY.slice(0, 2), { status: 204 }, { status: 404 }], { lookMs: 1 });
    const following = agent.follow();
    await quiet;
    expect(asked.at(-1)!.place).toBe("cursor=0-0");
    agent.close();
    expect(await following).toBe("closed");
  });

  test("may be begun by another device", async () => {
    const { agent, asked, quiet } = thread([EMPTY, { status: 404 }, { status: 404 }], { lookMs: 1 });
    const following = agent.follow();
    await quiet;
    expect(asked).toHaveLength(4);
    agent.close();
    await following;
  });
});

test("a deleted thread ends it", async () => {
  expect(await thread([OLD, { status: 404 }]).agent.follow()).toBe("deleted");
});

test.each([
  { status: 410, code: "events-expired" },
  { status: 400, code: "cursor-ahead" },
])("events that are gone: it connects anew, and the snapshot replaces ($code)", async (gone) => {
  const asks = { type: "interrupt", interrupts: [{ id: "i-1", reason: "tool_approval" }] };
  const before = opening("2-9", started("r-2"), snapshot(user, { id: "old", role: "reasoning", content: "hm" }), finished("r-2", asks));
  const midway = [frame("3-1", started("r-3"))];
  const later = opening("9-4", started("r-9"), snapshot({ ...user, id: "u-9" }), finished("r-9", asks));
  const { agent, quiet } = thread([before, midway, gone, later], {
    onViolation: (error) => expect.unreachable(String(error)),
  });
  const following = agent.follow();
  await quiet;
  expect(agent.messages).toEqual([{ ...user, id: "u-9" }]);
  expect(agent.pendingInterrupts).toHaveLength(1);
  agent.close();
  expect(await following).toBe("closed");
});

describe("a token that is not valid any more", () => {
  test("is replaced", async () => {
    const { agent, asked, quiet } = thread([OLD, { status: 401 }], {
      headers: { Authorization: "old" },
      onUnauthorized: async () => ({ Authorization: "new" }),
    });
    void agent.follow();
    await quiet;
    expect(asked.map(({ token }) => token)).toEqual(["old", "old", "new"]);
    agent.close();
  });

  test.each([undefined, async () => null])("without another one it ends in words (%s)", async (onUnauthorized) => {
    const { agent } = thread([OLD, { status: 401, code: "unauthenticated" }], { ...(onUnauthorized && { onUnauthorized }) });
    await expect(agent.follow()).rejects.toMatchObject({ name: "StreamError", code: "unauthenticated", status: 401 });
  });
});

test("an address without a service is said, not asked again", async () => {
  const { agent, asked } = thread([{ status: 404 }]);
  await expect(agent.follow()).rejects.toBeInstanceOf(StreamError);
  expect(asked).toHaveLength(1);
});

test("what the client refuses is told, and it connects anew", async () => {
  const wrong = [frame("3-1", { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "x" })];
  const onViolation = vi.fn();
  const { agent, quiet } = thread([OLD, wrong, OLD], { onViolation, wake: (wakes) => (queueMicrotask(wakes), () => {}) });
  void agent.follow();
  await quiet;
  expect(onViolation).toHaveBeenCalledOnce();
  expect(agent.messages).toEqual([user]);
  agent.close();
});

test("it is closed at once, also in a pause", async () => {
  const { agent } = thread([OLD, []], { pauseMs: 1e9, onState: (state) => state === "reconnecting" && agent.close() });
  expect(await agent.follow()).toBe("closed");
});

describe("what another device asked", () => {
  const other = { id: "u-2", role: "user", content: "and you?" };
  const answer = { type: "TEXT_MESSAGE_CHUNK", messageId: "a-2", role: "assistant", delta: "fine" };
  const asked = (value: object) => `data: ${JSON.stringify({ type: "CUSTOM", name: "agentroute.input", value })}\n\n`;
  const run = [frame("3-2", answer), frame("3-3", finished("r-3"))];
  const told = { id: "a-2", role: "assistant", content: "fine" };

  test.each([
    ["is added", { messages: [other] }, [user, other, told]],
    ["is not added twice", { messages: [user] }, [user, told]],
    ["replaces what it regenerates", { messages: [other], regenerateFrom: "u-1" }, [other, told]],
    ["stays when it is answered again", { messages: [user], regenerateFrom: "u-1" }, [user, told]],
    ["may replace without a message", { messages: [], regenerateFrom: "u-1" }, [told]],
  ])("%s", async (_, input, held) => {
    const begun = [frame("3-1", started("r-3")), asked(input)];
    // On a whole line, and on one that is cut behind RUN_STARTED: then it is told again.
    for (const lines of [[[...begun, ...run]], [begun, [asked(input), ...run]]]) {
      const { agent, quiet } = thread([OLD, ...lines]);
      const following = agent.follow();
      await quiet;
      agent.close();
      await following;
      expect(agent.messages).toEqual(held);
    }
  });
});
