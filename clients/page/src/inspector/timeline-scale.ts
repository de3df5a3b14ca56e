/** The axis of the timeline: where a moment is drawn, and the round numbers that are written on it. */
import { duration } from "../usage/format";

const STEPS = [1, 2, 5];

/** A round number of milliseconds, so that at most `most` of them fit into the length. */
export function tickStep(length: number, most: number): number {
  const rough = Math.max(length / Math.max(most, 1), 1);
  if (rough > 5_000) {
    const step = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((seconds) => seconds * 1000 >= rough);
    return step === undefined ? Math.ceil(rough / 3_600_000) * 3_600_000 : step * 1000;
  }
  const power = 10 ** Math.floor(Math.log10(rough));
  return (STEPS.find((step) => step * power >= rough) ?? 10) * power;
}

export interface Tick {
  at: number;
  label: string;
}

/** Ticks from 0 to the length; labels in the unit of the step, without digits that say nothing. */
export function ticks(length: number, width: number, room = 56): Tick[] {
  const step = tickStep(length, Math.floor(width / room));
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, index) => {
    const at = index * step;
    return { at, label: at === 0 ? "0" : step < 60_000 ? short(at) : duration(at) };
  });
}

function short(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${String(Number((ms / 1000).toFixed(2)))} s`;
}

export interface Bar {
  x: number;
  width: number;
}

/** A bar is seen and can be pointed at, however short it is. */
export function bar(start: number, end: number, length: number, width: number, least = 2): Bar {
  const x = Math.min((start / length) * width, width - least);
  return { x, width: Math.max(Math.min((end / length) * width, width) - x, least) };
}
