/**
 * Messages in front of those that the official client holds. It copies all its messages with every event, so it is given
 * the newest ones only.
 */
import type { Message } from "@ag-ui/client";
import { signal } from "@preact/signals";
import { readHistory } from "../api/history";
import { NEWEST } from "./thread-feed";

export class OlderMessages {
  readonly hasMore = signal(false);
  readonly #threadId: string;
  #messages: readonly Message[] = [];
  #before: string | null = null;
  #announced: string | null = null;
  #loading: Promise<boolean> | null = null;

  constructor(threadId: string) {
    this.#threadId = threadId;
  }

  /** Take `agentroute.history`, which an opening has in front of its messages if there are older ones. */
  announced({ name, value }: { name: string; value?: unknown }): void {
    if (name === "agentroute.history") this.#announced = (value as { nextBefore?: string | null }).nextBefore ?? null;
  }

  /** An opening replaces what the client holds; what is shown in front of it stays. */
  opened(shown: readonly Message[], newest: readonly Message[]): void {
    const place = shown.findIndex((message) => message.id === newest[0]?.id);
    this.#messages = place > 0 ? shown.slice(0, place) : [];
    if (place <= 0) this.#before = this.#announced;
    this.#announced = null;
    this.hasMore.value = this.#before !== null;
  }

  /** Take over the oldest ones of a client that holds many; returns the rest. */
  relieve(messages: readonly Message[]): readonly Message[] {
    if (messages.length <= 2 * NEWEST) return messages;
    this.#messages = this.before(messages.slice(0, -NEWEST));
    return messages.slice(-NEWEST);
  }

  /** Keep only what is before a message, if it is one of these. Returns whether it was. */
  cut({ messageId, keeps }: { messageId: string; keeps: boolean }): boolean {
    const place = this.#messages.findIndex((message) => message.id === messageId);
    if (place >= 0) this.#messages = this.#messages.slice(0, keeps ? place + 1 : place);
    return place >= 0;
  }

  /** Return these messages with the older ones in front. */
  before(messages: readonly Message[]): readonly Message[] {
    if (this.#messages.length === 0) return messages;
    const held = new Set(messages.map((message) => message.id));
    return [...this.#messages.filter((message) => !held.has(message.id)), ...messages];
  }

  /** Load a page; one at a time. Returns whether there was one. */
  load(): Promise<boolean> {
    this.#loading ??= this.#load().finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #load(): Promise<boolean> {
    const before = this.#before;
    if (before === null) return false;
    const page = await readHistory(this.#threadId, { before });
    if (before !== this.#before) return false;
    this.#messages = [...page.messages, ...this.#messages];
    this.#before = page.nextBefore;
    this.hasMore.value = page.nextBefore !== null;
    return true;
  }
}
