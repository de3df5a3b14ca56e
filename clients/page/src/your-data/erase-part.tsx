import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Refusal } from "../problems/refusal";
import { isOnline } from "../session/online";
import { Button } from "../ui/button";
import { TrashIcon } from "../ui/icons";
import { clock } from "../usage/format";
import type { Erasing } from "./erasing";
import { isConfirmed, PHRASE } from "./phrase";

interface ErasePartProps {
  erasing: Erasing;
  onErase(): void;
}

export function ErasePart({ erasing, onErase }: ErasePartProps) {
  // An answer may be on its way since before the panel was closed and opened again.
  const isAsked = useSignal(erasing.isAsking.peek());
  const ask = () => {
    erasing.problem.value = null;
    isAsked.value = true;
  };
  const open = useRef<HTMLDivElement>(null);
  const wasAsked = useRef(false);
  useEffect(() => {
    if (wasAsked.current && !isAsked.value) open.current!.querySelector("button")!.focus();
    wasAsked.current = isAsked.value;
  }, [isAsked.value]);
  return (
    <section aria-labelledby="erase-title">
      <h3 id="erase-title">Delete everything about you</h3>
      <p>
        Your conversations, files, memories, schedules, connections and API keys are deleted, and answers that are being
        written are stopped. This cannot be undone: export your data first if you want to keep it. What model calls cost
        stays for accounting, without your name.
      </p>
      {isAsked.value ? (
        <EraseForm erasing={erasing} onErase={onErase} onClose={() => (isAsked.value = false)} />
      ) : (
        <div ref={open}>
          <Button class="erase-open" icon={TrashIcon} disabled={!isOnline.value} onClick={ask}>
            Delete everything…
          </Button>
        </div>
      )}
    </section>
  );
}

function EraseForm({ erasing, onErase, onClose }: ErasePartProps & { onClose(): void }) {
  const typed = useSignal("");
  const field = useRef<HTMLInputElement>(null);
  const problem = erasing.problem.value;
  const isBusy = erasing.isAsking.value;
  useEffect(() => field.current?.focus(), []);
  return (
    <form
      class="erase-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (isConfirmed(typed.peek())) onErase();
      }}
    >
      <label>
        <span class="field-label">
          Type <strong>{PHRASE}</strong> to confirm
        </span>
        <input
          ref={field}
          class="field"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          disabled={isBusy}
          value={typed.value}
          onInput={(event) => (typed.value = event.currentTarget.value)}
        />
      </label>
      {problem && <Refusal problem={problem} />}
      {problem?.retryAfter != null && <p>It can be asked for again on {clock(Date.now() + problem.retryAfter * 1000)}.</p>}
      {problem && erasing.mayHaveBegun.value && (
        <p>No answer came, so it may have begun all the same. Ask again: that shows how far it is, and begins nothing twice.</p>
      )}
      <div class="dialog-buttons">
        <Button disabled={isBusy} onClick={onClose}>
          Cancel
        </Button>
        <Button kind="danger" type="submit" busy={isBusy} disabled={!isConfirmed(typed.value) || !isOnline.value}>
          {isBusy ? "Deleting" : "Delete everything about me"}
        </Button>
      </div>
    </form>
  );
}
