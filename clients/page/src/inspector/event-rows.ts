/** Events as the inspector lists them: joined from the live log and from what was loaded, filtered, in order. */
import type { BaseEvent } from "@ag-ui/client";
import type { LoggedEvent } from "../session/types";
import { comparePlaces, placeOf } from "../session/cursors";

/** An event of the list. `receivedAt` is `null` for one that was loaded afterwards. */
export interface EventRow {
  /** Same for the same event in every list. */
  key: string;
  cursor: string | null;
  event: BaseEvent;
  receivedAt: number | null;
  bytes: number;
  runId: string | null;
  /** Milliseconds since the run's start, by the server's clock; `null` when the start is not known. */
  sinceStart: number | null;
}

export interface EventFilter {
  /** Empty: every type. */
  types: ReadonlySet<string>;
  /** Words that the event's JSON must contain, without regard to case. */
  text: string;
}

export const NO_FILTER: EventFilter = { types: new Set(), text: "" };

/** An event from the log or loaded afterwards; the latter has no time of arrival. */
export type ListedEvent = Omit<LoggedEvent, "receivedAt"> & { receivedAt: number | null };

/**
 * One list of both sources, oldest first. An event that is in both is listed once, as it was loaded: a stream that
 * begins in the middle tells what is open in one piece, under the cursor of its last part.
 */
export function joinRows(logged: readonly LoggedEvent[], loaded: readonly ListedEvent[] = []): EventRow[] {
  const entries = loaded.length === 0 ? logged : merged(logged, loaded);
  const starts = new Map<number, { runId: string; at: number | null }>();
  return entries.map((entry, index) => {
    const ordinal = placeOf(entry.cursor)?.ordinal ?? -1;
    const named = memberText(entry.event, "runId");
    const stamp = entry.event.timestamp;
    if (entry.event.type === "RUN_STARTED" && named !== null) starts.set(ordinal, { runId: named, at: stamp ?? null });
    const start = starts.get(ordinal);
    return {
      key: entry.cursor ?? `#${index}`,
      cursor: entry.cursor,
      event: entry.event,
      receivedAt: entry.receivedAt,
      bytes: entry.bytes,
      runId: start?.runId ?? named,
      sinceStart: start?.at == null || stamp === undefined ? null : stamp - start.at,
    };
  });
}

function merged(logged: readonly LoggedEvent[], loaded: readonly ListedEvent[]): ListedEvent[] {
  const again = new Map(loaded.map((entry) => [entry.cursor, entry]));
  const both = logged.map((entry): ListedEvent => {
    const full = entry.cursor === null ? undefined : again.get(entry.cursor);
    if (full === undefined) return entry;
    again.delete(entry.cursor);
    return { ...full, receivedAt: entry.receivedAt };
  });
  const all = [...both, ...again.values()].map((entry, index) => ({ entry, index, place: placeOf(entry.cursor) }));
  // Events without a place keep that of their neighbour before them.
  for (let index = 1; index < all.length; index++) all[index]!.place ??= all[index - 1]!.place;
  all.sort((left, right) =>
    left.place === null || right.place === null
      ? Number(left.place !== null) - Number(right.place !== null)
      : comparePlaces(left.place, right.place) || left.index - right.index,
  );
  return all.map(({ entry }) => entry);
}

/** The rows of one run: by the places of its segments, since a resumed run has several under one id. */
export function rowsOfRun(rows: readonly EventRow[], runId: string): EventRow[] {
  return rows.filter((row) => row.runId === runId);
}

const texts = new WeakMap<BaseEvent, string>();

/** The event's JSON in lower case, computed once. */
function searchable(event: BaseEvent): string {
  let text = texts.get(event);
  if (text === undefined) {
    text = JSON.stringify(event).toLowerCase();
    texts.set(event, text);
  }
  return text;
}

export function filterRows(rows: readonly EventRow[], filter: EventFilter): readonly EventRow[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0 && filter.types.size === 0) return rows;
  return rows.filter(
    (row) =>
      (filter.types.size === 0 || filter.types.has(row.event.type)) &&
      words.every((word) => searchable(row.event).includes(word) || (row.cursor ?? "").startsWith(word)),
  );
}

/** The types that occur, with their numbers, the most frequent first. */
export function typeCounts(rows: readonly EventRow[]): [type: string, count: number][] {
  const counts = new Map<string, number>();
  for (const row of rows) counts.set(row.event.type, (counts.get(row.event.type) ?? 0) + 1);
  return [...counts].sort((left, right) => right[1] - left[1] || (left[0] < right[0] ? -1 : 1));
}

/** What an event is about, in a few words: the part of its JSON that differs from its neighbours. */
export function summary(event: BaseEvent): string {
  for (const name of ["delta", "toolCallName", "stepName", "name", "content", "message", "code", "outcome", "runId"]) {
    const value = (event as unknown as Record<string, unknown>)[name];
    if (value === undefined || value === null) continue;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    if (text !== "") return text.length > 200 ? `${text.slice(0, 200)}…` : text;
  }
  return "";
}

export function memberText(event: BaseEvent, name: string): string | null {
  const value = (event as unknown as Record<string, unknown>)[name];
  return typeof value === "string" ? value : null;
}
