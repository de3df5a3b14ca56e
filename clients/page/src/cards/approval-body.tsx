import { useId, useState } from "preact/hooks";
import { Button } from "../ui/button";
import { PencilIcon } from "../ui/icons";
import { layOut } from "./loose-json";
import { argumentsOf } from "./questions";
import type { BodyProps } from "./question-card";
import { complaintsAbout } from "./resume-problem";
import { SchemaForm } from "./schema-form";
import { complaintsOf } from "./validate";

/** Yes or no, with other arguments and a reason where the question allows them. */
export function ApprovalBody({ store, question, place, isOnly }: BodyProps) {
  const id = question.interrupt.id;
  const draft = store.draft(id);
  const [isEditing, setEditing] = useState(draft.input !== undefined);
  const [asksReason, setAsksReason] = useState(false);
  const [tried, setTried] = useState(false);
  const refused = within(complaintsAbout(store.problem.value, place), "/input");
  const input = draft.input === undefined ? argumentsOf(question) : draft.input;
  const wrong = isEditing && question.input ? complaintsOf(question.input, input) : new Map<string, string>();
  const extrasWrong = question.extras.flatMap((member) =>
    [...complaintsOf(member.field, draft.extras[member.name]).keys()].filter(() => member.isRequired || member.name in draft.extras),
  );

  const approve = () => {
    setTried(true);
    if (wrong.size === 0 && extrasWrong.length === 0) void store.decide(id, "approve");
  };
  const stopEditing = () => {
    setEditing(false);
    store.change(id, { input: undefined });
  };

  return (
    <form
      class="question-form"
      onSubmit={(event) => {
        event.preventDefault();
        approve();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !(isEditing || asksReason)) return;
        event.stopPropagation();
        stopEditing();
        setAsksReason(false);
      }}
    >
      {question.argumentsText !== null &&
        (isEditing && question.input ? (
          <SchemaForm
            field={question.input}
            value={input}
            onChange={(next) => store.change(id, { input: next })}
            complaints={tried || refused.size > 0 ? new Map([...refused, ...wrong]) : new Map()}
            label="Arguments"
          />
        ) : (
          <pre class="call-text" aria-label="Arguments">
            {layOut(question.argumentsText)}
          </pre>
        ))}
      {question.extras.map((member) => (
        <SchemaForm
          key={member.name}
          field={member.field}
          label={member.label}
          value={draft.extras[member.name]}
          onChange={(next) => store.change(id, { extras: { ...draft.extras, [member.name]: next } })}
          complaints={tried ? complaintsOf(member.field, draft.extras[member.name]) : new Map()}
        />
      ))}
      {asksReason && <Reason text={draft.reason} onChange={(reason) => store.change(id, { reason })} />}
      <div class="question-actions">
        <Button type="submit" kind="primary" busy={isOnly && store.isSending.value} aria-keyshortcuts="a">
          {isEditing ? "Approve with changes" : "Approve"}
        </Button>
        <Button
          disabled={isOnly && store.isSending.value}
          aria-keyshortcuts="d"
          onClick={() => (question.reasonName && !asksReason ? setAsksReason(true) : void store.decide(id, "decline"))}
        >
          {asksReason ? "Decline with this reason" : "Decline"}
        </Button>
        {question.input && !isEditing && (
          <Button kind="quiet" icon={PencilIcon} onClick={() => setEditing(true)}>
            Edit
          </Button>
        )}
        {isEditing && (
          <Button kind="quiet" onClick={stopEditing}>
            Undo changes
          </Button>
        )}
      </div>
    </form>
  );
}

function Reason({ text, onChange }: { text: string; onChange(text: string): void }) {
  const id = useId();
  return (
    <div class="entry">
      <label class="entry-label" for={id}>
        Why not? The assistant reads it.
      </label>
      <textarea id={id} class="entry-input" rows={2} value={text} onInput={(event) => onChange(event.currentTarget.value)} />
    </div>
  );
}

function within(complaints: ReadonlyMap<string, string>, prefix: string): Map<string, string> {
  const own = [...complaints].filter(([pointer]) => pointer === prefix || pointer.startsWith(`${prefix}/`));
  return new Map(own.map(([pointer, words]) => [pointer.slice(prefix.length), words]));
}
