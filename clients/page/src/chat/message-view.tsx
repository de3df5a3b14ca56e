import type { ThreadSession } from "../session/types";
import { memo } from "../ui/memo";
import { AssistantMessageView } from "./assistant-message";
import { useGrowing } from "./growing";
import { ReasoningView } from "./reasoning";
import { UserMessageView } from "./user-message";
import { isVisible } from "../session/visible";

/** One message; drawn again when it changes, and not when another one does. */
export const MessageView = memo(({ session, id }: { session: ThreadSession; id: string }) => {
  const message = session.store.message(id)?.value;
  const grows = useGrowing(session, id).value;
  if (message === undefined || !isVisible(message, grows)) return null;
  switch (message.role) {
    case "user":
      return (
        <li class="message user" data-message-id={id}>
          <UserMessageView session={session} message={message} />
        </li>
      );
    case "assistant":
      return (
        <li class="message assistant" data-message-id={id}>
          <AssistantMessageView session={session} message={message} grows={grows} />
        </li>
      );
    case "reasoning":
      return (
        <li class="message reasoning" data-message-id={id}>
          <ReasoningView session={session} message={message} grows={grows} />
        </li>
      );
    default:
      return null;
  }
});
