/** Follows a thread's event log: what its newest run does beside its messages. */
import { effect, type ReadonlySignal, signal } from "@preact/signals";
import { perSession } from "../session/per-session";
import type { LoggedEvent } from "../session/types";
import { type Activity, afterActivity, NO_ACTIVITY } from "./activity";

/** Return the activity of a thread. It is followed from the first call on, as long as the session is kept. */
export const activityOf = perSession((session): ReadonlySignal<Activity> => {
  const activity = signal(NO_ACTIVITY);
  let last: LoggedEvent | undefined;
  effect(() => {
    void session.log.version.value;
    const entries = session.log.entries();
    // Everything if the log has dropped what was read last.
    const from = last ? entries.lastIndexOf(last) + 1 : 0;
    let next = activity.peek();
    for (const entry of entries.slice(from)) next = afterActivity(next, entry.event);
    last = entries.at(-1);
    activity.value = next;
  });
  return activity;
});
