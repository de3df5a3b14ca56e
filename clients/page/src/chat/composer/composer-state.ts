/** What belongs to the composer of a thread and outlives its drawing: text, attachments, and what was not sent. */
import { computed, effect, signal, type ReadonlySignal } from "@preact/signals";
import { fileLimits } from "../../api/capabilities";
import { textOf } from "../../session/message-parts";
import type { SendOptions, ThreadSession, UserContent } from "../../session/types";
import { partOf } from "../attachments/parts";
import { AttachmentTray } from "../attachments/tray";
import { attachmentsOf, contentOf } from "./content";
import { forgetOldDrafts, loadDraft, saveDraft } from "./drafts";
import { Outbox } from "./outbox";

export class ComposerState {
  readonly text = signal("");
  readonly tray: AttachmentTray;
  readonly outbox: Outbox;
  /** A message waits for the end of its uploads. */
  readonly isWaiting = signal(false);
  readonly canSend: ReadonlySignal<boolean>;
  readonly #session: ThreadSession;

  constructor(session: ThreadSession) {
    this.#session = session;
    this.tray = new AttachmentTray(() => fileLimits.peek());
    this.outbox = new Outbox(session);
    forgetOldDrafts();
    const draft = loadDraft(session.threadId);
    this.text.value = draft.text;
    this.tray.restore(draft.files.map(partOf));
    this.canSend = computed(() => !this.tray.hasFailed.value && (this.text.value.trim() !== "" || this.tray.items.value.length > 0));
  }

  /** Keep the draft from now on; returns what ends it. */
  keepDraft(): () => void {
    return effect(() => saveDraft(this.#session.threadId, { text: this.text.value, files: this.tray.stored.value }));
  }

  /** Send what is written, when its uploads are done. */
  async send(options: SendOptions = {}): Promise<void> {
    if (!this.canSend.peek() || this.isWaiting.peek()) return;
    if (this.tray.isUploading.peek()) {
      this.isWaiting.value = true;
      await settled(this.tray.isUploading);
      this.isWaiting.value = false;
      if (!this.canSend.peek()) return;
    }
    const content = contentOf(this.text.peek().trim(), this.tray.take());
    this.text.value = "";
    await this.outbox.send(content, options);
  }

  /** Put a message that was not sent back into the composer, in front of what is written there. */
  takeBack(id: string): void {
    const content = this.outbox.take(id);
    if (content !== null) this.fill(content);
  }

  fill(content: UserContent): void {
    this.insert(textOf(content), { isBefore: true });
    this.tray.restore(attachmentsOf(content));
  }

  insert(words: string, { isBefore = false } = {}): void {
    const now = this.text.peek();
    const both = isBefore ? [words, now] : [now, words];
    this.text.value = both.filter((text) => text !== "").join(isBefore ? "\n\n" : /\s$/.test(now) ? "" : " ");
  }
}

function settled(isGoingOn: ReadonlySignal<boolean>): Promise<void> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (isGoingOn.value) return;
      queueMicrotask(() => stop());
      resolve();
    });
  });
}

const states = new WeakMap<ThreadSession, ComposerState>();

export function composerOf(session: ThreadSession): ComposerState {
  let state = states.get(session);
  if (!state) states.set(session, (state = new ComposerState(session)));
  return state;
}
