import { effect, signal, type Signal } from "@preact/signals";
import { perSession } from "../session/per-session";
import type { ThreadSession } from "../session/types";
import { edited, newShared, received, settled, type SharedState, takenBack } from "./draft";

/** Follows a thread's shared state, also while the panel is closed: an edit waits for the next message. */
export class SharedStore {
  readonly shared: Signal<SharedState>;

  constructor(private readonly session: ThreadSession) {
    this.shared = signal(newShared(session.agentState.peek(), session.run.peek()?.runId ?? null));
    effect(() => {
      const before = this.shared.peek();
      const next = received(before, session.agentState.value, session.run.value?.runId ?? null);
      this.shared.value = next;
      // The assistant was faster: its state is shown, and the next message does not overwrite it.
      if (next.conflict && before.draft && !next.draft) session.editState(undefined);
    });
  }

  edit(value: unknown): void {
    this.shared.value = edited(this.shared.peek(), value);
    this.session.editState(this.shared.peek().draft ? value : undefined);
  }

  takeBack(): void {
    this.shared.value = takenBack(this.shared.peek());
    this.session.editState(undefined);
  }

  /** Decide a conflict: with the user's own value, or with the assistant's as it is. */
  settle(own?: unknown): void {
    this.shared.value = settled(this.shared.peek());
    if (own !== undefined) this.edit(own);
  }
}

export const sharedOf = perSession((session) => new SharedStore(session));
