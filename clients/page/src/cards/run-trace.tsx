import { computed, type ReadonlySignal, useComputed } from "@preact/signals";
import type { ThreadSession } from "../session/types";
import { runTraces } from "./run-traces";
import "./cards.css";

/** Below a message of the user: why it has no whole answer, although the conversation went on. */
export function RunTrace({ session, messageId }: { session: ThreadSession; messageId: string }) {
  const words = useComputed(() => tracesOf(session).value.get(messageId)).value;
  return words === undefined ? null : <p class="run-trace">{words}</p>;
}

const known = new WeakMap<ThreadSession, ReadonlySignal<ReadonlyMap<string, string>>>();

/** Worked out when messages come or go, and not while one grows. */
function tracesOf(session: ThreadSession): ReadonlySignal<ReadonlyMap<string, string>> {
  let traces = known.get(session);
  if (!traces) {
    traces = computed(() => {
      const waiting = session.waiting.value;
      const begun = session.store.ids.value.filter((id) => !waiting.has(id));
      return runTraces(begun.flatMap((id) => session.store.message(id)?.peek() ?? []), session.unanswered.value);
    });
    known.set(session, traces);
  }
  return traces;
}
