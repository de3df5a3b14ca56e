import { computed, useComputed } from "@preact/signals";
import { perSession } from "../session/per-session";
import { isLive } from "../session/run-view";
import { textOf, type AssistantMessage, type UserMessage } from "../session/message-parts";
import { asProblem, type ThreadSession } from "../session/types";
import { IconButton } from "../ui/button";
import { CopyButton } from "../ui/copy-button";
import { PencilIcon } from "../ui/icons";
import { toast } from "../ui/toast";
import { wordsOf } from "../problems/words";
import { RetryIcon } from "./icons";
import { answeredBy } from "../session/turns";
import "./message-actions.css";

/** What can be done with a message of the user. */
export function UserActions({ message, onEdit }: { message: UserMessage; onEdit(): void }) {
  return (
    <div class="message-actions">
      <CopyButton text={() => textOf(message.content)} label="Copy the message" />
      <IconButton icon={PencilIcon} label="Edit the message" small onClick={onEdit} />
    </div>
  );
}

/** What can be done with an answer: shown under its last message, when it is complete. */
export function AnswerActions({ session, message }: { session: ThreadSession; message: AssistantMessage }) {
  // Computed, so that one end of an answer draws itself again, and not each of a thousand.
  const question = useComputed(() => {
    const isLast = session.store.ids.value.at(-1) === message.id;
    // Not while the answer grows, nor while it waits for a word of the user.
    if (isLast && (isLive(session.run.value) || session.interrupts.value.length > 0)) return null;
    return endsOf(session).value.get(message.id) ?? null;
  }).value;
  if (question === null) return null;
  const text = textOf(message.content);
  return (
    <div class="message-actions">
      {text && <CopyButton text={text} label="Copy the answer" />}
      <IconButton icon={RetryIcon} label="Answer again" small onClick={() => void answerAgain(session, question)} />
    </div>
  );
}

/** Have a message answered once more; what followed it is replaced. */
export async function answerAgain(session: ThreadSession, messageId: string): Promise<void> {
  try {
    await session.regenerate(messageId);
  } catch (error) {
    const { title, advice } = wordsOf(asProblem(error));
    toast(`${title} ${advice}`, { bad: true });
  }
}

/** The last message of each answer, with the user message that it answers. */
const endsOf = perSession((session) =>
  computed(() => {
    // The last message may have been without a word when it came.
    void session.run.value;
    return answeredBy(session.store.ids.value.flatMap((id) => session.store.message(id)?.peek() ?? []));
  }),
);
