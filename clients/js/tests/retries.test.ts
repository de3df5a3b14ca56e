import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Retries, type ConnectionState } from "../src/retries.js";
import { Bell, browserWake, pause, type Wake } from "../src/wake.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const asked = (seconds: string) => new Response(null, { status: 503, headers: { "Retry-After": seconds } });
const never: Wake = () => () => {};

/** Milliseconds until the pause is over. */
async function length(waiting: Promise<void>): Promise<number> {
  const from = Date.now();
  let over = false;
  void waiting.then(() => (over = true));
  await vi.advanceTimersToNextTimerAsync();
  expect(over).toBe(true);
  return Date.now() - from;
}

describe("pauses", () => {
  test.each([
    ["doubles", null, 0.5, [2000, 4000, 8000]],
    ["has a longest", null, 0.5, [2000, 4000, 8000, 16_000, 30_000, 30_000]],
    ["varies downwards", null, 0, [1000, 2000]],
    ["varies upwards", null, 1, [3000, 6000]],
    ["begins with what the server says", 250, 0.5, [250, 500, 1000]],
    ["is no shorter than the server says", 40_000, 0.5, [40_000, 40_000]],
    ["grows as far as the caller wants", 1000, 0.5, [1000, 2000, 3000, 3000], 3000],
    ["is what a crowd is told, whatever the caller wants", 40_000, 0.5, [40_000, 40_000], 3000],
  ])("a pause %s", async (_, retryMs, random, expected, maxPauseMs?: number) => {
    const retries = new Retries({ random: () => random, wake: never, ...(maxPauseMs && { maxPauseMs }) });
    retries.hint(retryMs);
    for (const ms of expected) expect(await length(retries.wait({}))).toBe(ms);
    retries.progress();
    expect(await length(retries.wait({}))).toBe(expected[0]);
  });

  test("a pause that no timer can wait for is not over at once, and ends when it is woken", async () => {
    const bell = new Bell();
    let over = false;
    const waiting = pause(2 ** 31, bell.wake).then(() => (over = true));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(over).toBe(false);
    bell.ring();
    await waiting;
  });

  test("Retry-After is honoured, in seconds and as a date, and never undercut", async () => {
    const retries = new Retries({ random: () => 0, wake: never });
    expect(await length(retries.wait({ response: asked("7") }))).toBe(7000);
    vi.setSystemTime("2026-11-27T19:00:00Z");
    expect(await length(retries.wait({ response: asked("Fri, 27 Nov 2026 19:00:50 GMT") }))).toBe(50_000);
    expect(await length(retries.wait({ response: asked("soon") }))).toBe(4000);
  });

  test("a wake ends a pause, an abort as well", async () => {
    const bell = new Bell();
    const abort = new AbortController();
    const retries = new Retries({ wake: bell.wake }, abort.signal);
    const woken = retries.wait({});
    bell.ring();
    await woken;
    const aborted = retries.wait({});
    abort.abort(new Error("left"));
    await expect(aborted).rejects.toThrow("left");
    expect(vi.getTimerCount()).toBe(0);
    await expect(retries.wait({})).rejects.toThrow("left");
  });
});

test("states are told once each, and offline is the browser's word", async () => {
  const states: ConnectionState[] = [];
  const retries = new Retries({ wake: never, onState: (state) => states.push(state) });
  retries.say("connecting");
  retries.say("live");
  await length(retries.wait({}));
  await length(retries.wait({}));
  vi.stubGlobal("navigator", { onLine: false });
  await length(retries.wait({}));
  retries.say("live");
  vi.unstubAllGlobals();
  expect(states).toEqual(["connecting", "live", "reconnecting", "offline", "live"]);
});

test("a browser wakes when it is online again and when the tab is shown", () => {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  vi.stubGlobal("window", window);
  vi.stubGlobal("document", document);
  let woken = 0;
  const stop = browserWake(() => void woken++);
  window.dispatchEvent(new Event("online"));
  document.dispatchEvent(new Event("visibilitychange"));
  expect(woken).toBe(1);
  document.visibilityState = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  stop();
  window.dispatchEvent(new Event("online"));
  expect(woken).toBe(2);
  vi.unstubAllGlobals();
});
