import { computed, useComputed } from "@preact/signals";
import { perSession } from "../session/per-session";
import type { ThreadSession } from "../session/types";
import { runTraces } from "./run-traces";
import "./cards.css";

/** Below a message of the user: why it has no whole answer, although the conversation went on. */
export function RunTrace({ session, messageId }: { session: ThreadSession; messageId: string }) {
  const words = useComputed(() => tracesOf(session).value.get(messageId)).value;
  return words === undefined ? null : <p class="run-trace">{words}</p>;
}

/** Worked out when messages come or go, and not while one grows. */
const tracesOf = perSession((session) =>
  computed(() => {
    const waiting = session.waiting.value;
    const begun = session.store.ids.value.filter((id) => !waiting.has(id));
    return runTraces(begun.flatMap((id) => session.store.message(id)?.peek() ?? []), session.unanswered.value);
  }),
);
