import { signal } from "@preact/signals";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { watchSilence } from "../../src/cards/silence";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("silence is told once, and is over with the next event", () => {
  const version = signal(0);
  const told: boolean[] = [];
  const stop = watchSilence(version, 1000, (isSilent) => told.push(isSilent));
  for (let event = 1; event <= 5; event++) {
    vi.advanceTimersByTime(999);
    version.value = event;
  }
  expect(told).toEqual([]);
  vi.advanceTimersByTime(60_000);
  expect(told).toEqual([true]);
  version.value++;
  version.value++;
  expect(told).toEqual([true, false]);
  vi.advanceTimersByTime(1000);
  expect(told).toEqual([true, false, true]);
  stop();
  version.value++;
  vi.advanceTimersByTime(60_000);
  expect(told).toEqual([true, false, true]);
});
