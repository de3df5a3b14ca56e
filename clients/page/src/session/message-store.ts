/**
 * The messages that are shown, each with a signal of its own: a delta draws its message again and no other.
 *
 * The official client gives new copies of all messages with every event. Here a message that says the same stays the
 * same object, and its signal is silent.
 */
import { batch, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import type { Message } from "@ag-ui/client";
import type { ToolMessage } from "./message-parts";
import { sameJson } from "./same-json";

export class MessageStore {
  readonly messages = signal<readonly Message[]>([]);
  /** Changes only when messages come or go. */
  readonly ids = signal<readonly string[]>([]);
  readonly #byId = new Map<string, Signal<Message>>();
  readonly #results = new Map<string, Signal<ToolMessage | null>>();

  /** Show these messages, and no others. */
  show(next: readonly Message[]): void {
    batch(() => {
      const before = this.messages.peek();
      const shown = next.map((message) => this.#kept(message));
      if (shown.length === before.length && shown.every((message, place) => message === before[place])) return;
      this.messages.value = shown;
      const ids = shown.map((message) => message.id);
      if (!sameJson(ids, this.ids.peek())) {
        this.ids.value = ids;
        this.#forget(new Set(ids));
      }
    });
  }

  message(id: string): ReadonlySignal<Message> | undefined {
    return this.#byId.get(id);
  }

  /** The result of a tool call, `null` until there is one. */
  result(toolCallId: string): ReadonlySignal<ToolMessage | null> {
    let result = this.#results.get(toolCallId);
    if (!result) this.#results.set(toolCallId, (result = signal(null)));
    return result;
  }

  #kept(message: Message): Message {
    const known = this.#byId.get(message.id);
    if (known && (known.peek() === message || sameJson(known.peek(), message))) return known.peek();
    if (known) known.value = message;
    else this.#byId.set(message.id, signal(message));
    if (message.role === "tool") {
      const result = this.result(message.toolCallId) as Signal<ToolMessage | null>;
      result.value = message;
    }
    return message;
  }

  #forget(shown: ReadonlySet<string>): void {
    for (const [id, kept] of this.#byId) {
      if (shown.has(id)) continue;
      this.#byId.delete(id);
      const message = kept.peek();
      const result = message.role === "tool" ? this.#results.get(message.toolCallId) : undefined;
      if (result?.peek()?.id === id) result.value = null;
    }
  }
}
