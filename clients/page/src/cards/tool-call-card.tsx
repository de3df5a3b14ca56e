import type { ToolCall } from "../session/message-parts";
import type { ThreadSession } from "../session/types";
import { Spinner } from "../ui/button";
import { ToolIcon } from "../ui/icons";
import "./cards.css";

interface ToolCallCardProps {
  session: ThreadSession;
  call: ToolCall;
}

/** A call of a tool with its arguments and, when it is there, its result. */
export function ToolCallCard({ session, call }: ToolCallCardProps) {
  const result = session.store.result(call.id).value;
  return (
    <details class="tool-card">
      <summary>
        <ToolIcon size={16} />
        <span class="tool-name">{call.function.name}</span>
        {result === null && session.run.value?.status === "running" && <Spinner label="Running" />}
      </summary>
      <pre>{call.function.arguments}</pre>
      {result !== null && <pre>{typeof result.content === "string" ? result.content : JSON.stringify(result.content, null, 2)}</pre>}
    </details>
  );
}
