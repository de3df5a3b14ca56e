import { useState } from "preact/hooks";
import { Button } from "../ui/button";
import type { BodyProps } from "./question-card";
import { complaintsAbout } from "./resume-problem";
import { SchemaForm } from "./schema-form";
import { blank, type Field } from "./schema";
import { complaintsOf } from "./validate";

/** A question whose answer has a shape of its own. */
export function FormBody({ store, question, place, isOnly }: BodyProps) {
  const id = question.interrupt.id;
  const field = question.answer as Field;
  const draft = store.draft(id);
  const [tried, setTried] = useState(false);
  const answer = draft.answer === undefined ? blank(field) : draft.answer;
  const wrong = complaintsOf(field, answer);
  const refused = complaintsAbout(store.problem.value, place);
  return (
    <form
      class="question-form"
      onSubmit={(event) => {
        event.preventDefault();
        setTried(true);
        if (wrong.size > 0) return;
        store.change(id, { answer });
        void store.decide(id, "approve");
      }}
    >
      <SchemaForm
        field={field}
        value={answer}
        onChange={(next) => store.change(id, { answer: next })}
        complaints={tried || refused.size > 0 ? new Map([...refused, ...wrong]) : new Map()}
        label="Your answer"
      />
      <div class="question-actions">
        <Button type="submit" kind="primary" busy={isOnly && store.isSending.value}>
          Send answer
        </Button>
        <Button disabled={isOnly && store.isSending.value} onClick={() => void store.decide(id, "decline")}>
          Do not answer
        </Button>
      </div>
    </form>
  );
}
