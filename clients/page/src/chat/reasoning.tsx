import { useComputed } from "@preact/signals";
import { useState } from "preact/hooks";
import type { ReasoningMessage } from "../session/message-parts";
import type { ThreadSession } from "../session/types";
import { ChevronIcon } from "../ui/icons";
import { Markdown } from "./markdown";

interface ReasoningProps {
  session: ThreadSession;
  message: ReasoningMessage;
  grows: boolean;
}

/** What the model thought, folded. Not drawn until somebody looks. */
export function ReasoningView({ session, message, grows }: ReasoningProps) {
  const [isOpen, setOpen] = useState(false);
  const isLast = useComputed(() => session.store.ids.value.at(-1) === message.id).value;
  return (
    <details class="reasoning" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <ChevronIcon size={14} />
        {grows && isLast ? "Thinking" : "Thought"}
      </summary>
      {isOpen && <Markdown text={message.content} grows={grows} />}
    </details>
  );
}
