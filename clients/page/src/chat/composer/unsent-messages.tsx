import { ProblemNote } from "../../problems/problem-note";
import { wordsOf } from "../../problems/words";
import { textOf } from "../../session/message-parts";
import type { ThreadSession } from "../../session/types";
import { Button } from "../../ui/button";
import { PencilIcon } from "../../ui/icons";
import { MessageAttachments } from "../attachments/message-attachments";
import type { ComposerState } from "./composer-state";

interface UnsentMessagesProps {
  session: ThreadSession;
  state: ComposerState;
  onEdit(): void;
}

/** Messages that the service has not accepted, each with the reason and what can be done. */
export function UnsentMessages({ session, state, onEdit }: UnsentMessagesProps) {
  const { outbox } = state;
  const unsent = outbox.unsent.value;
  if (unsent.length === 0) return null;
  return (
    <ul class="unsent" aria-label="Messages that were not sent">
      {unsent.map(({ id, content, problem, retryAt }) => (
        <li key={id}>
          <div class="user-bubble not-sent">
            <MessageAttachments content={content} />
            {textOf(content)}
          </div>
          <ProblemNote problem={problem} retryAt={retryAt} onRetry={wordsOf(problem).remedy === "again" ? () => void outbox.retry(id) : undefined}>
            {problem.code === "interrupt-open" && (
              <Button onClick={() => void outbox.retry(id, { onInterrupt: "cancel" })}>Decline the question and send</Button>
            )}
            {problem.code === "run-active" && session.run.value && (
              <Button onClick={() => void outbox.retry(id, { onBusy: "supersede" })}>Interrupt and send</Button>
            )}
            <Button
              icon={PencilIcon}
              onClick={() => {
                state.takeBack(id);
                onEdit();
              }}
            >
              Edit
            </Button>
            <Button kind="quiet" onClick={() => outbox.take(id)}>
              Discard
            </Button>
          </ProblemNote>
        </li>
      ))}
    </ul>
  );
}
