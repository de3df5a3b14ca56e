import { textOf, type UserMessage } from "../session/message-parts";
import type { ThreadSession } from "../session/types";

interface UserMessageProps {
  session: ThreadSession;
  message: UserMessage;
}

export function UserMessageView({ message }: UserMessageProps) {
  return (
    <div class="user-bubble">
      <span class="unseen">You: </span>
      {textOf(message.content)}
    </div>
  );
}
