/** The facts of a thread's calls as signals, worked out once for all cards of the thread. */
import { computed, type ReadonlySignal } from "@preact/signals";
import type { ThreadSession } from "../session/types";
import { readThread, type ThreadFacts } from "./tool-calls";

const known = new WeakMap<ThreadSession, ReadonlySignal<ThreadFacts>>();

export function factsOf(session: ThreadSession): ReadonlySignal<ThreadFacts> {
  let facts = known.get(session);
  if (!facts) {
    facts = computed(() => readThread(session.messages.value, session.interrupts.value, session.run.value));
    known.set(session, facts);
  }
  return facts;
}
