import type { Message } from "@ag-ui/client";
import { signal } from "@preact/signals";
import type { SendOptions, ThreadSession, UserContent } from "../../src/session/types";

/** A session as far as the composer knows it: shows what is sent, and accepts or refuses it. */
export class FakeSession {
  readonly threadId = "t-1";
  readonly messages = signal<readonly Message[]>([]);
  readonly ids = signal<readonly string[]>([]);
  readonly store = { ids: this.ids, message: () => undefined, result: () => signal(null) };
  readonly isOpened = signal(true);
  readonly sent: { content: UserContent; options: SendOptions }[] = [];
  /** What the service says to the next messages; accepts when there is nothing left. */
  refusals: unknown[] = [];

  send(content: UserContent, options: SendOptions = {}): Promise<void> {
    this.sent.push({ content, options });
    const refusal = this.refusals.shift();
    if (refusal !== undefined) return Promise.reject(refusal);
    this.show([...this.messages.peek(), { id: options.messageId!, role: "user", content }]);
    return Promise.resolve();
  }

  show(messages: readonly Message[]): void {
    this.messages.value = messages;
    this.ids.value = messages.map((message) => message.id);
  }

  get asSession(): ThreadSession {
    return this as unknown as ThreadSession;
  }
}
