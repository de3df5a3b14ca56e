import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { AlertIcon, CheckIcon, CloseIcon, KeyIcon, ToolIcon } from "../ui/icons";
import { Button } from "../ui/button";
import { ApprovalBody } from "./approval-body";
import { ConnectionBody } from "./connection-body";
import { expiryOf } from "./expiry";
import { FormBody } from "./form-body";
import type { QuestionStore } from "./question-store";
import { type Question } from "./questions";

export interface BodyProps {
  store: QuestionStore;
  question: Question;
  /** Place among the open questions: what the service's complaints name. */
  place: number;
  /** The only one: its buttons send the answer at once. */
  isOnly: boolean;
}

const TITLES: Record<string, string> = {
  tool_approval: "Approval needed",
  budget_exhausted: "The budget is used up",
  connection_required: "A login is needed",
};

/** Of several questions: what will be sent. */
const DECIDED: Record<Question["kind"], Record<"approve" | "decline", string>> = {
  approval: { approve: "Will be approved", decline: "Will be declined" },
  connection: { approve: "Goes on with the login", decline: "Goes on without the login" },
  form: { approve: "Will be answered", decline: "Will not be answered" },
  notice: { approve: "Goes on", decline: "Will be declined" },
};

export function QuestionCard({ now, ...props }: BodyProps & { now: number }) {
  const { store, question } = props;
  const { interrupt } = question;
  const heading = useId();
  const expiry = expiryOf(interrupt.expiresAt, now);
  const draft = store.draft(interrupt.id);
  const isAnswered = store.isAnswered(interrupt.id);
  const Drawing = question.kind === "connection" ? KeyIcon : question.toolName ? ToolIcon : AlertIcon;
  return (
    <article
      class={`question ${question.kind} ${expiry?.isExpired ? "expired" : ""}`}
      aria-labelledby={heading}
      data-question={interrupt.id}
      data-reason={interrupt.reason}
      onKeyDown={(event) => shortcut(event, props, isAnswered || (expiry?.isExpired ?? false))}
    >
      <header class="question-head">
        <Drawing size={17} />
        <h2 id={heading}>{TITLES[interrupt.reason] ?? "The assistant asks"}</h2>
        {expiry && <span class={`question-expiry ${expiry.isUrgent ? "urgent" : ""}`}>{expiry.words}</span>}
      </header>
      <p class="question-message">{interrupt.message ?? "The assistant waits for your answer."}</p>
      {isAnswered ? (
        <Decided>{store.problem.value?.isOver ? "Answered elsewhere" : "Answered"}</Decided>
      ) : expiry?.isExpired ? (
        <Expired {...props} />
      ) : draft.decision !== null && !props.isOnly ? (
        <Decided isNo={draft.decision === "decline"}>
          {DECIDED[question.kind][draft.decision]}
          <Button kind="quiet" onClick={() => store.change(interrupt.id, { decision: null })}>
            Change
          </Button>
        </Decided>
      ) : (
        <Body {...props} />
      )}
    </article>
  );
}

function Body(props: BodyProps) {
  switch (props.question.kind) {
    case "connection":
      return <ConnectionBody {...props} />;
    case "form":
      return <FormBody {...props} />;
    default:
      return <ApprovalBody {...props} />;
  }
}

function Decided({ isNo = false, children }: { isNo?: boolean; children: ComponentChildren }) {
  return (
    <p class="question-decided">
      {isNo ? <CloseIcon size={16} /> : <CheckIcon size={16} />}
      {children}
    </p>
  );
}

function Expired({ store, isOnly }: BodyProps) {
  return (
    <>
      <p class="question-note">Nobody answered in time, so nothing was done. You can go on without it, or write a new message.</p>
      {isOnly && (
        <div class="question-actions">
          <Button busy={store.isSending.value} onClick={() => store.sendAll()}>
            Go on without it
          </Button>
        </div>
      )}
    </>
  );
}

/** `a` approves and `d` declines while the focus is in the card and not in a field. */
function shortcut(event: KeyboardEvent, { store, question }: BodyProps, isOver: boolean): void {
  const inField = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
  if (isOver || inField || event.ctrlKey || event.metaKey || event.altKey || question.kind !== "approval") return;
  if (event.key === "a") void store.decide(question.interrupt.id, "approve");
  else if (event.key === "d") void store.decide(question.interrupt.id, "decline");
  else return;
  event.preventDefault();
}
