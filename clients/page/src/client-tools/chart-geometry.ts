/** Where the parts of a chart are, in the units of its drawing; pure. */
import { cut } from "../ui/cut";
import { roundSteps } from "../ui/round-steps";
import type { ChartData } from "./chart-data";

export const WIDTH = 640;
export const HEIGHT = 300;
const LEFT = 56;
const RIGHT = 12;
const TOP = 14;
const BOTTOM = 34;

export interface Bar {
  series: number;
  point: number;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Geometry {
  /** Height of the zero line. */
  zero: number;
  left: number;
  right: number;
  ticks: readonly { value: number; y: number }[];
  labels: readonly { text: string; x: number }[];
  labelY: number;
  bars: readonly Bar[];
  /** For each series, its points from left to right. */
  lines: readonly (readonly { x: number; y: number }[])[];
}

export function geometryOf(data: ChartData): Geometry {
  const ticks = ticksFor(data.series.flatMap((series) => series.values));
  const [lowest, highest] = [ticks[0]!, ticks.at(-1)!];
  const y = (value: number) => TOP + ((highest - value) / (highest - lowest)) * (HEIGHT - TOP - BOTTOM);
  const slot = (WIDTH - LEFT - RIGHT) / data.labels.length;
  const middle = (point: number) => LEFT + slot * (point + 0.5);
  return {
    zero: y(0),
    left: LEFT,
    right: WIDTH - RIGHT,
    ticks: ticks.map((value) => ({ value, y: y(value) })),
    labels: spaced(data.labels).map(({ text, point }) => ({ text, x: middle(point) })),
    labelY: HEIGHT - BOTTOM + 20,
    bars: data.kind === "bar" ? barsOf(data, slot, y) : [],
    lines:
      data.kind === "line"
        ? data.series.map((series) => series.values.map((value, point) => ({ x: middle(point), y: y(value) })))
        : [],
  };
}

/** Round steps that hold all values and zero: 0, 2, 4, 6, 8 for 3, 5, 8. */
export function ticksFor(values: readonly number[]): number[] {
  const lowest = Math.min(0, ...values);
  // Zeros alone still have a scale.
  const highest = Math.max(0, ...values) || (lowest < 0 ? 0 : 1);
  return roundSteps(lowest, highest, 4);
}

function barsOf(data: ChartData, slot: number, y: (value: number) => number): Bar[] {
  const width = Math.min(64, (slot * 0.72) / data.series.length);
  const start = (slot - width * data.series.length) / 2;
  return data.series.flatMap((series, index) =>
    series.values.map((value, point) => ({
      series: index,
      point,
      x: LEFT + slot * point + start + width * index + 1,
      y: Math.min(y(0), y(value)),
      width: Math.max(1, width - 2),
      // A value of zero still has a mark.
      height: Math.max(1, Math.abs(y(value) - y(0))),
    })),
  );
}

/** Leave labels out where they would touch. */
function spaced(labels: readonly string[]): { text: string; point: number }[] {
  const longest = Math.min(12, Math.max(...labels.map((label) => label.length)));
  const fitting = Math.max(1, Math.floor((WIDTH - LEFT - RIGHT) / (longest * 10 + 12)));
  const every = Math.ceil(labels.length / fitting);
  return labels
    .map((label, point) => ({ text: cut(label, 12), point }))
    .filter(({ point }) => point % every === 0);
}
