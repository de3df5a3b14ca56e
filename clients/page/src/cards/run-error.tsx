import { editedMessageId } from "../chat/editing";
import { answerAgain } from "../chat/message-actions";
import { RetryIcon } from "../chat/icons";
import { lastQuestion } from "../session/turns";
import { ProblemNote } from "../problems/problem-note";
import { wordsOf } from "../problems/words";
import type { ThreadSession } from "../session/types";
import { newThread } from "../threads/current";
import { Button } from "../ui/button";
import { PencilIcon, PlusIcon } from "../ui/icons";
import "./cards.css";

/** Why the last answer is missing, and how to get another one. */
export function RunError({ session }: { session: ThreadSession }) {
  const run = session.run.value;
  const question = lastQuestion(session.messages.value);
  const isEmpty = run?.status === "succeeded" && session.unanswered.value.get(question ?? "") === run;
  if (run?.status !== "failed" && run?.status !== "cancelled" && !isEmpty) return null;
  const again = question === null ? undefined : () => void answerAgain(session, question);
  if (run.status !== "failed") {
    return (
      <p class="run-stopped" role="status">
        {isEmpty ? "There was no answer." : "The answer was stopped."}
        {again && (
          <Button kind="quiet" icon={RetryIcon} onClick={again}>
            Answer again
          </Button>
        )}
      </p>
    );
  }
  const error = run.error ?? { code: "internal-error", message: "The run failed." };
  const { remedy } = wordsOf(error);
  return (
    <ProblemNote key={run.runId} problem={error} onRetry={remedy === "again" ? again : undefined}>
      {remedy === "edit" && question !== null && (
        <Button icon={PencilIcon} onClick={() => (editedMessageId.value = question)}>
          Edit the message
        </Button>
      )}
      {remedy === "thread" && (
        <Button icon={PlusIcon} onClick={newThread}>
          New conversation
        </Button>
      )}
    </ProblemNote>
  );
}
