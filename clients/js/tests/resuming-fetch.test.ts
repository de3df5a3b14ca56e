import { HttpAgent } from "@ag-ui/client";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { resumingFetch, StreamError, type ResumingFetchOptions } from "../src/index.js";
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
  for (const { name, frames } of recordings()) {
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
