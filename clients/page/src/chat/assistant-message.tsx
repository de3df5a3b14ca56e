import { ToolCallCard } from "../cards/tool-call-card";
import { textOf, type AssistantMessage } from "../session/message-parts";
import type { ThreadSession } from "../session/types";
import { MessageMeter } from "../usage/message-meter";
import { Markdown } from "./markdown";
import { AnswerActions } from "./message-actions";

interface AssistantMessageProps {
  session: ThreadSession;
  message: AssistantMessage;
  grows: boolean;
}

export function AssistantMessageView({ session, message, grows }: AssistantMessageProps) {
  const text = textOf(message.content);
  const calls = message.toolCalls ?? [];
  return (
    <>
      {text.trim() && <Markdown text={text} grows={grows} />}
      {calls.length > 0 && (
        <div class="tool-calls">
          {calls.map((call) => (
            <ToolCallCard key={call.id} session={session} message={message} call={call} />
          ))}
        </div>
      )}
      <div class="answer-foot">
        <MessageMeter message={message} />
        <AnswerActions session={session} message={message} />
      </div>
    </>
  );
}
