/** Periods of whole days, in UTC, as the service counts them. Dates are texts like `2026-11-27`. */

const DAY_MS = 86_400_000;

/** The service answers for at most so many days. */
export const MOST_DAYS = 366;

export interface UsageRange {
  from: string;
  to: string;
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** The last `days` days, today included. */
export function lastDays(days: number, now: number): UsageRange {
  return { from: day(now - (days - 1) * DAY_MS), to: day(now) };
}

export function lengthInDays({ from, to }: UsageRange): number {
  return Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS) + 1;
}

/** What is wrong with a period, in words; `null` if nothing is. */
export function rangeProblem(range: UsageRange): string | null {
  if (!range.from || !range.to) return "Choose a first and a last day.";
  const days = lengthInDays(range);
  if (Number.isNaN(days)) return "Choose a first and a last day.";
  if (days < 1) return "The first day is after the last one.";
  return days > MOST_DAYS ? `At most ${MOST_DAYS} days can be shown at once.` : null;
}

export function daysOf({ from, to }: UsageRange): string[] {
  const first = Date.parse(from);
  return Array.from({ length: lengthInDays({ from, to }) }, (_, index) => day(first + index * DAY_MS));
}

const SHORT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const LONG = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

export function shortDay(text: string): string {
  return SHORT.format(new Date(text));
}

export function longDay(text: string): string {
  return LONG.format(new Date(text));
}
