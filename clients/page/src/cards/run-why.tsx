import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { readWhy, type RunWhy as Why } from "../api/why";
import { RetryIcon } from "../chat/icons";
import { asProblem } from "../session/types";
import { Button } from "../ui/button";
import "./run-why.css";

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** What the service says about a run that shows nothing, asked once and not again by itself. A chunk of its own. */
export function RunWhy({ threadId, runId }: { threadId: string; runId: string }) {
  const why = useSignal<Why | null>(null);
  const refused = useSignal<string | null>(null);
  const asked = useSignal(0);
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The button that asked is gone. Whoever is elsewhere by now stays there.
    if (document.activeElement === document.body) root.current!.querySelector("button")!.focus();
  }, []);
  useEffect(() => {
    const stop = new AbortController();
    refused.value = null;
    readWhy(threadId, runId, stop.signal).then(
      (told) => (why.value = told),
      (error: unknown) => {
        if (!stop.signal.aborted) refused.value = asProblem(error).message;
      },
    );
    return () => stop.abort();
  }, [threadId, runId, asked.value]);
  return (
    <div class="run-why" ref={root}>
      <div role="status">
        {refused.value !== null ? (
          <p>{refused.value}</p>
        ) : why.value === null ? (
          <p>Asking the service…</p>
        ) : (
          <Told why={why.value} />
        )}
      </div>
      <Button kind="quiet" icon={RetryIcon} onClick={() => asked.value++}>
        Ask again
      </Button>
    </div>
  );
}

function Told({ why: { explanation, advice, changesAt } }: { why: Why }) {
  return (
    <>
      <p>{explanation}</p>
      <p>
        {advice} {changesAt && `If nothing happens before, the service acts by itself at ${CLOCK.format(new Date(changesAt))}.`}
      </p>
    </>
  );
}
