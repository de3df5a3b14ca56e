import { describe, expect, it } from "vitest";
import { chartData, type ChartData } from "../../src/client-tools/chart-data";
import { geometryOf, HEIGHT, ticksFor, WIDTH } from "../../src/client-tools/chart-geometry";

it("reads one series and several", () => {
  expect(chartData({ title: " T ", values: [3, 5, 8] })).toEqual({
    kind: "bar", title: "T", labels: ["1", "2", "3"], series: [{ name: "Value", values: [3, 5, 8] }], unit: "",
  });
  expect(chartData({ title: "T", kind: "line", labels: ["a", "b"], series: [{ name: "x", values: [1, 2] }, { values: [3, 4] }], unit: "EUR" })).toMatchObject({
    kind: "line", labels: ["a", "b"], series: [{ name: "x" }, { name: "Series 2" }], unit: "EUR",
  });
});

it.each([
  [null, "object"],
  [{ title: "T" }, "'values'"],
  [{ title: "T", values: ["3"] }, "'values'"],
  [{ title: "T", values: [] }, "no values"],
  [{ title: "T", values: [1, 2], labels: ["a"] }, "1 labels for 2 values"],
  [{ title: "T", values: Array(101).fill(1) }, "at most 100"],
  [{ title: "T", series: Array(7).fill({ name: "x", values: [1] }) }, "at most 6"],
  [{ title: "T", series: [{ name: "x" }] }, "series[0]"],
  [{ title: "T", series: [{ name: "x", values: [1] }, { name: "y", values: [] }] }, "'series[1].values' is empty"],
])("says what is wrong with %j", (args, words) => expect(chartData(args)).toContain(words));

it.each([
  [[3, 5, 8], [0, 2, 4, 6, 8]],
  [[0], [0, 0.25, 0.5, 0.75, 1]],
  [[-4, 4], [-4, -2, 0, 2, 4]],
  [[0.1, 0.3], [0, 0.1, 0.2, 0.3]],
  [[1e6], [0, 250_000, 500_000, 750_000, 1_000_000]],
])("puts round steps beside %j", (values, expected) => expect(ticksFor(values)).toEqual(expected));

describe("geometryOf", () => {
  const read = (args: object) => chartData({ title: "T", ...args }) as ChartData;

  it.each([
    { values: [3, 5, 8] },
    { values: [-3, 5, 0] },
    { values: Array.from({ length: 100 }, (_, place) => place - 50) },
    { kind: "line", series: [{ name: "a", values: [1, 2] }, { name: "b", values: [2, -9] }] },
    { values: [0] },
    { values: [1e-9, 2e12] },
  ])("stays inside of the drawing with %j", (args) => {
    const { bars, lines, ticks, labels } = geometryOf(read(args));
    for (const { x, y, width, height } of bars) {
      expect(Math.min(x, y)).toBeGreaterThanOrEqual(0);
      expect(x + width).toBeLessThanOrEqual(WIDTH);
      expect(y + height).toBeLessThanOrEqual(HEIGHT);
    }
    for (const { x, y } of [...lines.flat(), ...labels.map(({ x }) => ({ x, y: 0 })), ...ticks.map(({ y }) => ({ x: 0, y }))]) {
      expect(x).toBeLessThanOrEqual(WIDTH);
      expect(y).toBeGreaterThanOrEqual(0);
      expect(y).toBeLessThanOrEqual(HEIGHT);
    }
  });

  it("draws negative values below zero, in proportion", () => {
    const { bars, zero } = geometryOf(read({ values: [4, -2] }));
    expect(bars[0]!.y + bars[0]!.height).toBeCloseTo(zero);
    expect(bars[1]!.y).toBeCloseTo(zero);
    expect(bars[0]!.height).toBeCloseTo(2 * bars[1]!.height);
  });
});
