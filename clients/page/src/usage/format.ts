/** Numbers as people read them. Costs come as decimal text and stay exact until they are shown. */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function count(value: number): string {
  return WHOLE.format(value);
}

/** `1234567` as `1.2M`, for narrow places. */
export function shortCount(value: number): string {
  return value < 10_000 ? WHOLE.format(value) : SHORT.format(value);
}

/** `1 token`, `2 tokens`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Milliseconds: `87 ms`, `1.24 s`, `12.4 s`, `2 min 5 s`, `1 h 3 min`. */
export function duration(ms: number): string {
  const value = Math.max(0, ms);
  if (value < 999.5) return `${Math.round(value)} ms`;
  if (value < 9_995) return `${(value / 1000).toFixed(2)} s`;
  if (value < 59_950) return `${(value / 1000).toFixed(1)} s`;
  const seconds = Math.round(value / 1000);
  if (seconds < 3600) return joined(Math.floor(seconds / 60), "min", seconds % 60, "s");
  const minutes = Math.round(seconds / 60);
  return joined(Math.floor(minutes / 60), "h", minutes % 60, "min");
}

function joined(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** Bytes: `84 B`, `1.2 kB`, `3.4 MB`. */
export function byteSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_950) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/**
 * A cost: two digits after the point from a cent on, otherwise two digits that mean something, so that small costs do
 * not look free. `null` is unknown, which is not zero.
 */
export function money(cost: string | null | undefined, currency = "USD"): string {
  if (cost == null) return "unknown";
  const value = Number(cost);
  if (!Number.isFinite(value)) return "unknown";
  const digits =
    value === 0
      ? { maximumFractionDigits: 0 }
      : Math.abs(value) >= 0.01
        ? { minimumFractionDigits: 2, maximumFractionDigits: 2 }
        : { maximumSignificantDigits: 2 };
  return new Intl.NumberFormat("en", { style: "currency", currency, ...digits }).format(value);
}

/** The instant of an ISO text in the reader's own time zone: `27 Nov, 19:23:31`. */
export function clock(iso: string | number): string {
  return new Intl.DateTimeFormat("en-GB", {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  }).format(new Date(iso));
}

/** Several facts on one line. */
export function facts(...parts: (string | null | undefined | false)[]): string {
  return parts.filter(Boolean).join(" · ");
}
