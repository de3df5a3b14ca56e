/** How long a question can still be answered, in words. */
import { plural } from "../usage/format";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export interface Expiry {
  words: string;
  isExpired: boolean;
  /** Less than five minutes are left. */
  isUrgent: boolean;
  /** After this time, in milliseconds, the words may be others. */
  nextChange: number;
}

export function expiryOf(expiresAt: string | undefined, now: number): Expiry | null {
  const end = expiresAt === undefined ? Number.NaN : Date.parse(expiresAt);
  if (Number.isNaN(end)) return null;
  const left = end - now;
  if (left <= 0) return { words: "expired", isExpired: true, isUrgent: false, nextChange: DAY };
  const nextChange = left <= 2 * MINUTE ? 1_000 : 15_000;
  return { words: `expires in ${inWords(left)}`, isExpired: false, isUrgent: left < 5 * MINUTE, nextChange };
}

function inWords(left: number): string {
  if (left < MINUTE) return `${Math.ceil(left / 1_000)} s`;
  if (left < HOUR) return `${Math.round(left / MINUTE)} min`;
  if (left < DAY) {
    const minutes = Math.round(left / MINUTE);
    const rest = minutes % 60;
    return rest === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${rest} min`;
  }
  return plural(Math.round(left / DAY), "day");
}
