/** The numbers of a chart by day: one bar a day, or a week where days would be too thin. */
import type { DayUsage } from "../api/usage";
import { roundSteps } from "../ui/round-steps";
import { daysOf, longDay, shortDay, type UsageRange } from "./usage-range";

export type Metric = "cost" | "tokens" | "calls";

export interface DayBar {
  /** First day of the bar. */
  day: string;
  label: string;
  /** In words: a day, or the first and the last one. */
  title: string;
  /** From the bottom up: the parts that the bar is stacked from. */
  parts: readonly number[];
  total: number;
}

/** Names of the parts, from the bottom up. */
export const PARTS: Record<Metric, readonly string[]> = {
  cost: ["Cost"],
  tokens: ["Input", "Output"],
  calls: ["Model calls"],
};

/** More bars than this are too thin to point at on a phone. */
const MOST_BARS = 92;

function parts(row: DayUsage | undefined, metric: Metric): number[] {
  if (metric === "tokens") return [row?.inputTokens ?? 0, row?.outputTokens ?? 0];
  // A number is exact enough for the height of a bar.
  return [metric === "calls" ? (row?.calls ?? 0) : Number(row?.cost ?? 0)];
}

export function dayBars(range: UsageRange, rows: readonly DayUsage[], metric: Metric): DayBar[] {
  const days = daysOf(range);
  const perBar = days.length > MOST_BARS ? 7 : 1;
  const byDay = new Map(rows.map((row) => [row.day, row]));
  const bars: DayBar[] = [];
  for (let first = 0; first < days.length; first += perBar) {
    const own = days.slice(first, first + perBar);
    const sums = own.map((day) => parts(byDay.get(day), metric)).reduce((left, right) => left.map((value, i) => value + right[i]!));
    const title = own.length === 1 ? longDay(own[0]!) : `${longDay(own[0]!)} to ${longDay(own.at(-1)!)}`;
    bars.push({ day: own[0]!, label: shortDay(own[0]!), title, parts: sums, total: sums.reduce((left, right) => left + right) });
  }
  return bars;
}

export interface Axis {
  /** Top of the axis: at least the largest value. */
  top: number;
  steps: number[];
}

/** Three or four round steps up to the largest value; whole ones where parts of one do not exist. */
export function axis(largest: number, whole: boolean): Axis {
  if (largest <= 0) return { top: 1, steps: [0] };
  const steps = roundSteps(0, largest, 3, whole);
  return { top: steps.at(-1)!, steps };
}

/** Which bars have their day written below them. */
export function labelled(bars: number, width: number, room = 56): (index: number) => boolean {
  const every = Math.max(1, Math.ceil((bars * room) / Math.max(width, 1)));
  return (index) => index % every === 0;
}
