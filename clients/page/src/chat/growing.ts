import { useComputed, type ReadonlySignal } from "@preact/signals";
import { isLive } from "../session/run-view";
import type { ThreadSession } from "../session/types";

/** How many of the newest messages may still grow: reasoning, text and calls of one turn. */
const NEWEST = 3;

/** Whether more may be said in a message: it is among the newest of a live run. Draws only those that it changes for. */
export function useGrowing(session: ThreadSession, messageId: string): ReadonlySignal<boolean> {
  return useComputed(() => isLive(session.run.value) && session.store.ids.value.slice(-NEWEST).includes(messageId));
}
