import { useComputed } from "@preact/signals";
import { useState } from "preact/hooks";
import type { ReasoningMessage } from "../session/message-parts";
import type { ThreadSession } from "../session/types";
import { ChevronIcon } from "../ui/icons";
import { useGrowing } from "./growing";
import { Markdown } from "./markdown";

interface ReasoningProps {
  session: ThreadSession;
  message: ReasoningMessage;
}

/** What the model thought, folded. Not drawn until somebody looks. */
export function ReasoningView({ session, message }: ReasoningProps) {
  const [isOpen, setOpen] = useState(false);
  const growing = useGrowing(session, message.id);
  const isThinking = useComputed(() => growing.value && session.store.ids.value.at(-1) === message.id).value;
  return (
    <details class="reasoning" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <ChevronIcon size={14} />
        {isThinking ? "Thinking" : "Thought"}
      </summary>
      {isOpen && <Markdown text={message.content} grows={growing.value} />}
    </details>
  );
}
