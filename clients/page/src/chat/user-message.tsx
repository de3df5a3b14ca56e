import { useComputed } from "@preact/signals";
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
  const pending = useComputed(() => (composerOf(session).outbox.sending.value.has(message.id) ? session.connection.value : null)).value;
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
          <p class="message-pending">{pending === "offline" ? "Sent when the network is back" : "Sending…"}</p>
        ) : (
          <UserActions message={message} onEdit={() => (editedMessageId.value = message.id)} />
        )}
      </div>
    </>
  );
}
