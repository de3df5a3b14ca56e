import { useEffect, useState } from "preact/hooks";
import { isMadeUp, type RunDetails } from "../api/run-details";
import { readRun } from "../api/run-queries";
import { isLive } from "../session/run-view";
import type { RunView, ThreadSession } from "../session/types";
import { Button } from "../ui/button";
import { CheckIcon } from "../ui/icons";
import { lazy } from "../ui/lazy";
import { activityOf } from "./activity-of";
import { useSilence } from "./silence";
import { stageSteps, waitingWords } from "./stage-steps";
import "./run-progress.css";

const LOOK_AGAIN_MILLISECONDS = 3_000;

const RunWhy = lazy<{ threadId: string; runId: string }>(() => import("./run-why").then((module) => module.RunWhy));

/** What the live run is doing: its stages, why it waits, and what it tries again. */
export function RunProgress({ session }: { session: ThreadSession }) {
  const run = session.run.value;
  if (run === null || !isLive(run)) return null;
  const retry = activityOf(session).value.retry;
  return (
    <div class="run-progress" role="group" aria-label="Progress of the answer">
      {run.status === "queued" ? <Waiting session={session} run={run} /> : <Stages run={run} />}
      {retry && (
        <p class="run-note" role="status">
          The model did not answer; trying again (attempt {retry.attempt + 1}).
        </p>
      )}
      {!isMadeUp(run.runId) && <Silence key={run.runId} session={session} runId={run.runId} />}
    </div>
  );
}

/** An offer to ask why, when nothing has come for long; what was told is over with the next event. */
function Silence({ session, runId }: { session: ThreadSession; runId: string }) {
  const isSilent = useSilence(session);
  const [isAsked, setAsked] = useState(false);
  useEffect(() => setAsked(false), [isSilent]);
  if (!isSilent) return null;
  if (isAsked) return <RunWhy threadId={session.threadId} runId={runId} />;
  return (
    <Button kind="quiet" class="run-why-ask" onClick={() => setAsked(true)}>
      Why does this take so long?
    </Button>
  );
}

function Stages({ run }: { run: RunView }) {
  return (
    <ol class="stages">
      {stageSteps(run).map((step) => (
        <li key={step.name} class={`stage ${step.status}`} aria-current={step.status === "running" ? "step" : undefined}>
          {step.status === "done" ? <CheckIcon size={13} /> : <span class={step.status === "running" ? "spinner" : "stage-dot"} aria-hidden="true" />}
          {step.words}
          <span class="unseen">{step.status === "running" ? ", now" : step.status === "done" ? ", done" : ", later"}</span>
        </li>
      ))}
    </ol>
  );
}

function Waiting({ session, run }: { session: ThreadSession; run: RunView }) {
  const [asked, setAsked] = useState<RunDetails | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    const look = async () => {
      if (document.visibilityState !== "visible") return;
      setAsked(await readRun(session.threadId, run.runId, stop.signal).catch(() => null));
    };
    // A run that starts at once is not asked about.
    const first = setTimeout(look, 600);
    const timer = setInterval(look, LOOK_AGAIN_MILLISECONDS);
    return () => {
      stop.abort();
      clearTimeout(first);
      clearInterval(timer);
    };
  }, [session, run.runId]);
  return (
    <p class="run-note" role="status">
      <span class="spinner" aria-hidden="true" /> {waitingWords(asked)}
    </p>
  );
}
