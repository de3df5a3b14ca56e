/** The facts of a thread's calls as signals, worked out once for all cards of the thread. */
import { computed } from "@preact/signals";
import { perSession } from "../session/per-session";
import { readThread } from "./tool-calls";

export const factsOf = perSession((session) =>
  computed(() => readThread(session.messages.value, session.interrupts.value, session.run.value)),
);
