import { useComputed } from "@preact/signals";
import { RunTrace } from "../cards/run-trace";
import { textOf, type UserMessage } from "../session/message-parts";
import type { ThreadSession } from "../session/types";
import { MessageAttachments } from "./attachments/message-attachments";
import { composerOf } from "./composer/composer-state";
import { editedMessageId, endEditing } from "./editing";
import { UserActions } from "./message-actions";
import { MessageEditor } from "./message-editor";

interface UserMessageProps {
  session: ThreadSession;
  message: UserMessage;
}

export function UserMessageView({ session, message }: UserMessageProps) {
  const isEdited = useComputed(() => editedMessageId.value === message.id).value;
  const pending = useComputed(() => pendingWords(session, message.id)).value;
  if (isEdited) return <MessageEditor session={session} message={message} onClose={endEditing} />;
  const text = textOf(message.content);
  return (
    <>
      <MessageAttachments content={message.content} />
      <div class="user-row">
        {text && (
          <div class="user-bubble">
            <span class="unseen">You: </span>
            {text}
          </div>
        )}
        {pending !== null ? (
          <p class="message-pending">{pending}</p>
        ) : (
          <UserActions message={message} onEdit={() => (editedMessageId.value = message.id)} />
        )}
      </div>
      <RunTrace session={session} messageId={message.id} />
    </>
  );
}

/** Why a message has no answer yet; `null` when its run has begun, or is about to. */
function pendingWords(session: ThreadSession, id: string): string | null {
  if (composerOf(session).outbox.isSending(id)) {
    return session.connection.value === "offline" ? "Sent when the network is back" : "Sending…";
  }
  // Behind a run that only waits for a worker it is no message that waits: it is its own.
  return session.waiting.value.has(id) && session.run.value?.status === "running" ? "Waits for the answer above" : null;
}
