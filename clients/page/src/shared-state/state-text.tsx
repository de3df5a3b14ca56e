import { useId, useState } from "preact/hooks";
import { sameJson } from "../session/same-json";
import { Button } from "../ui/button";
import { depthOf, MAX_DEPTH, MAX_STATE_BYTES } from "./limits";

/** The state as JSON text: applied as a whole, and only if the service would take it. */
export function StateText({ value, onApply }: { value: unknown; onApply(value: unknown): void }) {
  const [begun, setBegun] = useState<{ text: string; base: unknown } | null>(null);
  const id = useId();
  const text = begun?.text ?? JSON.stringify(value ?? {}, null, 2);
  const complaint = begun ? complaintAbout(text) : null;
  const isStale = begun !== null && !sameJson(begun.base, value);
  return (
    <form
      class="state-text"
      onSubmit={(event) => {
        event.preventDefault();
        if (begun === null || complaint !== null) return;
        onApply(JSON.parse(text));
        setBegun(null);
      }}
    >
      <label class="unseen" for={id}>
        Shared state as JSON
      </label>
      <textarea
        id={id}
        class="entry-input entry-json"
        spellcheck={false}
        rows={18}
        value={text}
        aria-invalid={complaint !== null}
        aria-describedby={`${id}-complaint`}
        onInput={(event) => setBegun({ text: event.currentTarget.value, base: begun ? begun.base : value })}
      />
      <p class="entry-complaint" id={`${id}-complaint`} role="status">
        {complaint ?? (isStale ? "The assistant has changed the state while you wrote. Applying replaces its change." : "")}
      </p>
      <div class="question-actions">
        <Button type="submit" kind="primary" disabled={begun === null || complaint !== null}>
          Apply
        </Button>
        <Button kind="quiet" disabled={begun === null} onClick={() => setBegun(null)}>
          Undo
        </Button>
      </div>
    </form>
  );
}

function complaintAbout(text: string): string | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return `No valid JSON: ${error instanceof Error ? error.message : "check the text"}`;
  }
  if (new TextEncoder().encode(JSON.stringify(value)).length > MAX_STATE_BYTES) return "The state may have at most 128 KiB.";
  if (depthOf(value) > MAX_DEPTH) return `The state may be nested at most ${MAX_DEPTH} levels deep.`;
  return value === null ? "Write an object, a list or a value. null means that there is no state." : null;
}
