/** Round numbers for the axis of a chart. Pure. */

/**
 * Return about `most` round steps that hold both values: 0, 2, 4, 6, 8 for 0 and 8. Whole ones where parts of one do not
 * exist. The highest value must be above the lowest one.
 */
export function roundSteps(lowest: number, highest: number, most: number, isWhole = false): number[] {
  const rough = (highest - lowest) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  // A little less is enough: 0.3 / 3 is not 0.1.
  const round = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * (1 - 1e-9))!;
  const step = isWhole ? Math.max(1, Math.ceil(round)) : round;
  const first = Math.floor(lowest / step + 1e-9);
  const last = Math.ceil(highest / step - 1e-9);
  // Multiplied, not added up, and without the dust that this leaves.
  return Array.from({ length: last - first + 1 }, (_, place) => Number(((first + place) * step).toPrecision(12)));
}
