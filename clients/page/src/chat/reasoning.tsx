import type { ReasoningMessage } from "../session/message-parts";
import type { ThreadSession } from "../session/types";
import { ChevronIcon } from "../ui/icons";
import { isGrowing } from "./growing";
import { Markdown } from "./markdown";
import { useState } from "preact/hooks";

interface ReasoningProps {
  session: ThreadSession;
  message: ReasoningMessage;
}

/** What the model thought, folded. Not drawn until somebody looks. */
export function ReasoningView({ session, message }: ReasoningProps) {
  const [isOpen, setOpen] = useState(false);
  const grows = isGrowing(session, message.id);
  return (
    <details class="reasoning" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <ChevronIcon size={14} />
        {grows && session.store.ids.value.at(-1) === message.id ? "Thinking" : "Thought"}
      </summary>
      {isOpen && <Markdown text={message.content} grows={grows} />}
    </details>
  );
}
