/** Whether anything was lost or came twice. Pure. */
import type { Message } from "@ag-ui/client";
import { comparePlaces, type Place, placeOf } from "../session/cursors";
import { textOf } from "../session/message-parts";
import type { LoggedEvent } from "../session/types";

export interface Arrivals {
  /** Events since then. */
  count: number;
  /** Those among them that had come before. */
  twice: number;
}

/** Look at the cursors of the events that came since a time. They only ever grow, unless an event comes twice. */
export function arrivalsSince(entries: readonly LoggedEvent[], since: number): Arrivals {
  let highest: Place | null = null;
  const arrivals: Arrivals = { count: 0, twice: 0 };
  for (const { cursor, receivedAt } of entries) {
    const found = placeOf(cursor);
    // The opening of a stream (`3-17.2`) counts down, and says nothing of the order.
    const place = found?.before === 0 ? found : null;
    const isNew = place === null || highest === null || comparePlaces(place, highest) > 0;
    if (receivedAt >= since) {
      arrivals.count++;
      if (!isNew) arrivals.twice++;
    }
    if (place !== null && isNew) highest = place;
  }
  return arrivals;
}

export interface Comparison {
  isEqual: boolean;
  /** Of the compared texts. */
  characters: number;
}

/** Compare what is shown with the newest messages that are stored. */
export function compareTexts(shown: readonly Message[], stored: readonly Message[]): Comparison {
  const kept = spoken(stored);
  const first = stored.length === 0 ? 0 : shown.findIndex(({ id }) => id === stored[0]!.id);
  const seen = spoken(shown.slice(Math.max(first, 0)));
  const characters = [...kept.values()].reduce((sum, text) => sum + text.length, 0);
  const isEqual = kept.size === seen.size && [...kept].every(([id, text]) => seen.get(id) === text);
  return { isEqual, characters };
}

function spoken(messages: readonly Message[]): Map<string, string> {
  const said = messages.filter(({ role }) => role === "user" || role === "assistant");
  return new Map(said.map(({ id, content }) => [id, textOf(content)]));
}
