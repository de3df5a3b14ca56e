import { signal } from "@preact/signals";

/** The message that is being changed, in the open thread; one at a time. */
export const editedMessageId = signal<string | null>(null);

/** The composer's field, to give the focus back to. */
export const composerField: { current: HTMLTextAreaElement | null } = { current: null };

/** End the change of a message, and go on where the next one is written. */
export function endEditing(): void {
  editedMessageId.value = null;
  composerField.current?.focus();
}
