import { signal } from "@preact/signals";
import type { EventLog, LoggedEvent } from "./types";

/** Keeps the newest events of a thread for the inspector. */
export class MemoryEventLog implements EventLog {
  readonly version = signal(0);
  #entries: LoggedEvent[] = [];

  constructor(readonly capacity = 2000) {}

  add(entry: LoggedEvent): void {
    this.#entries.push(entry);
    // Rarely and much at once: shifting an array for each event would copy it each time.
    if (this.#entries.length > this.capacity * 1.25) this.#entries = this.#entries.slice(-this.capacity);
    this.version.value++;
  }

  entries(): readonly LoggedEvent[] {
    return this.#entries.slice(-this.capacity);
  }
}
