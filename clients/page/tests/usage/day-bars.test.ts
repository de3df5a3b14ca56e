import { describe, expect, it } from "vitest";
import type { DayUsage } from "../../src/api/usage";
import { axis, dayBars, labelled } from "../../src/usage/day-bars";
import { daysOf, lastDays, lengthInDays, longDay, rangeProblem, shortDay } from "../../src/usage/usage-range";

const NOW = Date.parse("2026-11-27T23:59:59Z");

function row(day: string, members: Partial<DayUsage> = {}): DayUsage {
  return {
    day,
    calls: 0,
    estimatedCalls: 0,
    inputTokens: 0,
    outputTokens: 0,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
    cost: null,
    unknownCostCalls: 0,
    modelMs: 0,
    latencyMs: null,
    ttftMs: null,
    ...members,
  };
}

describe("a period", () => {
  it("is made of whole days in UTC, today included", () => {
    expect(lastDays(7, NOW)).toEqual({ from: "2026-11-21", to: "2026-11-27" });
    expect(lastDays(1, NOW)).toEqual({ from: "2026-11-27", to: "2026-11-27" });
    expect(daysOf({ from: "2026-02-27", to: "2026-03-02" })).toEqual(["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]);
    expect([shortDay("2026-11-07"), longDay("2026-11-07")]).toEqual(["7 Nov", "Sat, 7 Nov 2026"]);
  });

  it("says what is wrong with it", () => {
    expect(rangeProblem({ from: "2026-01-01", to: "2026-12-31" })).toBeNull();
    expect(rangeProblem({ from: "2024-01-01", to: "2024-12-31" })).toBeNull();
    expect(lengthInDays({ from: "2024-01-01", to: "2024-12-31" })).toBe(366);
    expect(rangeProblem({ from: "2026-01-01", to: "2027-01-02" })).toContain("At most 366");
    expect(rangeProblem({ from: "2026-01-02", to: "2026-01-01" })).toContain("after the last");
    expect([rangeProblem({ from: "", to: "" }), rangeProblem({ from: "x", to: "2026-01-01" })]).toEqual(Array(2).fill("Choose a first and a last day."));
  });
});

describe("the bars", () => {
  const rows = [row("2026-11-22", { calls: 3, inputTokens: 100, outputTokens: 5, cost: "0.1" }), row("2026-11-24", { calls: 1, cost: "0.2" })];

  it("have one for each day, also for days without a call", () => {
    const bars = dayBars({ from: "2026-11-21", to: "2026-11-24" }, rows, "tokens");
    expect(bars.map((bar) => [bar.label, bar.parts, bar.total])).toEqual([
      ["21 Nov", [0, 0], 0],
      ["22 Nov", [100, 5], 105],
      ["23 Nov", [0, 0], 0],
      ["24 Nov", [0, 0], 0],
    ]);
    expect(dayBars({ from: "2026-11-22", to: "2026-11-24" }, rows, "cost").map((bar) => bar.total)).toEqual([0.1, 0, 0.2]);
    expect(dayBars({ from: "2026-11-22", to: "2026-11-22" }, rows, "calls").map((bar) => bar.total)).toEqual([3]);
  });

  it("are weeks in a long period, and leave nothing out", () => {
    const range = { from: "2025-11-28", to: "2026-11-27" };
    const bars = dayBars(range, rows, "calls");
    expect(bars).toHaveLength(53);
    expect(bars.reduce((sum, bar) => sum + bar.total, 0)).toBe(4);
    expect(bars[0]!.title).toBe("Fri, 28 Nov 2025 to Thu, 4 Dec 2025");
    expect(bars.at(-1)!.title).toBe("Fri, 27 Nov 2026");
  });
});

describe("the axis of values", () => {
  it.each([
    [0, false, [0], 1],
    [1, true, [0, 1], 1],
    [4, true, [0, 2, 4], 4],
    [105, true, [0, 50, 100, 150], 150],
    [0.3, false, [0, 0.1, 0.2, 0.3], 0.3],
    [0.00042, false, [0, 0.0002, 0.0004, 0.0006], 0.0006],
    [1_234_567, true, [0, 500_000, 1_000_000, 1_500_000], 1_500_000],
  ])("up to %d (whole: %s)", (largest, whole, steps, top) => expect(axis(largest, whole)).toEqual({ top, steps }));

  it("holds every value", () => {
    for (let value = 1e-7; value < 1e9; value *= 1.37) {
      const { top, steps } = axis(value, false);
      expect(top).toBeGreaterThanOrEqual(value * (1 - 1e-9));
      expect(steps.length).toBeLessThanOrEqual(5);
    }
  });

  it("names as many days as there is room for", () => {
    const named = (bars: number, width: number) => Array.from({ length: bars }, (_, index) => index).filter(labelled(bars, width));
    expect(named(7, 700)).toHaveLength(7);
    expect(named(30, 320)).toEqual([0, 6, 12, 18, 24]);
  });
});
