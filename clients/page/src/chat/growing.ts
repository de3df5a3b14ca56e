import { isLive } from "../session/run-view";
import type { ThreadSession } from "../session/types";

/** Whether more may be said in a message: it is among the newest of a live run. Read in a component, it follows. */
export function isGrowing(session: ThreadSession, messageId: string): boolean {
  return isLive(session.run.value) && session.store.ids.value.slice(-3).includes(messageId);
}
