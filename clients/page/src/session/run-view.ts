/** What the events of a run add up to, for progress and errors. Pure. */
import { EventType, type BaseEvent } from "@ag-ui/client";
import type { RunView, Stage } from "./types";

type Event = BaseEvent & Record<string, unknown>;

/** Return the run after an event; the same object if the event says nothing of the run. */
export function afterEvent(run: RunView | null, given: BaseEvent): RunView | null {
  const event = given as Event;
  if (event.type === EventType.RUN_STARTED) {
    return { runId: String(event.runId), status: "running", stages: [], error: null };
  }
  if (run === null) return run;
  // Steps of a subagent are work within a stage of the run.
  const ownStep = event.subagentRunId === undefined;
  switch (event.type) {
    case EventType.STEP_STARTED:
      return ownStep ? { ...run, stages: [...others(run, event), { name: String(event.stepName), status: "running" }] } : run;
    case EventType.STEP_FINISHED:
      return ownStep ? { ...run, stages: run.stages.map((stage) => (stage.name === event.stepName ? { ...stage, status: "done" } : stage)) } : run;
    case EventType.RUN_FINISHED:
      return { ...run, status: outcome(event), stages: run.stages.map((stage) => ({ ...stage, status: "done" })) };
    case EventType.RUN_ERROR:
      return failed(run, event);
    default:
      return run;
  }
}

function others(run: RunView, event: Event): Stage[] {
  return run.stages.filter((stage) => stage.name !== event.stepName);
}

function outcome(event: Event): RunView["status"] {
  const type = (event.outcome as { type?: string } | undefined)?.type;
  return type === "interrupt" ? "interrupted" : type === "cancelled" ? "cancelled" : "succeeded";
}

function failed(run: RunView, event: Event): RunView {
  const code = typeof event.code === "string" ? event.code : "internal-error";
  // Clients before 1.0, whose runs this page may follow, are told of a cancelled run like this.
  if (code === "cancelled") return { ...run, status: "cancelled" };
  return { ...run, status: "failed", error: { code, message: String(event.message) } };
}

/**
 * Return the ends that a run of a question left behind, after it has ended once more: those that failed, were stopped, or
 * said nothing, by the question. The same map if nothing of that has changed.
 */
export function afterEnd(
  ends: ReadonlyMap<string, RunView>,
  question: string | null,
  run: RunView,
  isSilent = false,
): ReadonlyMap<string, RunView> {
  const isMissing = run.status === "failed" || run.status === "cancelled" || (run.status === "succeeded" && isSilent);
  if (question === null || (!isMissing && !ends.has(question))) return ends;
  const next = new Map(ends);
  if (isMissing) next.set(question, run);
  else next.delete(question);
  return next;
}

/** The run can still say something. */
export function isLive(run: RunView | null): boolean {
  return run?.status === "queued" || run?.status === "running";
}
