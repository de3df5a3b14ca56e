import { useRef } from "preact/hooks";
import type { ThreadSession } from "../session/types";
import { Button } from "../ui/button";
import { useNow } from "./clock";
import { expiryOf } from "./expiry";
import { QuestionCard } from "./question-card";
import { questionsOf } from "./question-store";
import "./questions.css";

/** The open questions of a thread: one card each, and one answer to all of them. */
export function QuestionList({ session }: { session: ThreadSession }) {
  const store = questionsOf(session);
  const questions = store.questions.value;
  const element = useRef<HTMLElement>(null);
  const soonest = questions.map(({ interrupt }) => expiryOf(interrupt.expiresAt, Date.now())?.nextChange ?? 60_000);
  const now = useNow(Math.min(60_000, ...soonest));
  if (questions.length === 0) return null;
  const several = questions.length > 1;
  const undecided = store.undecided(now);
  const isOver = questions.every(({ interrupt }) => store.isAnswered(interrupt.id));
  return (
    <section ref={element} class="questions" aria-label={several ? "Open questions" : "Open question"}>
      {several && (
        <header class="questions-head">
          <h2>{questions.length} questions are open</h2>
          <p>They are answered together.</p>
        </header>
      )}
      {questions.map((question, place) => (
        <QuestionCard key={question.interrupt.id} store={store} question={question} place={place} now={now} isOnly={!several} />
      ))}
      {several && !isOver && (
        <div class="question-actions">
          <Button kind="primary" busy={store.isSending.value} disabled={undecided > 0} onClick={() => store.sendAll()}>
            {undecided > 0 ? `Send answers (${undecided} left)` : `Send ${questions.length} answers`}
          </Button>
          <Button disabled={store.isSending.value} onClick={() => store.decideAll("approve")}>
            Approve all
          </Button>
          <Button kind="quiet" disabled={store.isSending.value} onClick={() => store.decideAll("decline")}>
            Decline all
          </Button>
        </div>
      )}
      {store.problem.value && (
        <p class={store.problem.value.isOver ? "question-note" : "question-problem"} role="alert">
          {store.problem.value.words}
        </p>
      )}
    </section>
  );
}
