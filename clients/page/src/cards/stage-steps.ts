/** The stages of a run as steps that a person reads: pure. */
import type { RunDetails } from "../api/run-details";
import type { RunView, Stage } from "../session/types";

export interface Step {
  name: string;
  words: string;
  status: Stage["status"] | "later";
}

const WORDS: Record<string, { running: string; done: string }> = {
  intent: { running: "Understanding the request", done: "Understood" },
  execution: { running: "Working on it", done: "Worked" },
  report: { running: "Writing the report", done: "Reported" },
};

/** Return the stages so far. A run without a report never announces one, so only what has begun is shown. */
export function stageSteps(run: RunView): Step[] {
  if (run.stages.length === 0) return [{ name: "start", words: "Starting", status: "running" }];
  return run.stages.map(({ name, status }) => ({ name, words: WORDS[name]?.[status] ?? name, status }));
}

/** Say why a run has not begun. */
export function waitingWords(run: Pick<RunDetails, "waitsFor"> | null): string {
  switch (run?.waitsFor) {
    case "worker":
      return "Waiting for a free worker";
    case "earlier-run":
      return "Waiting for the answer before this one";
    case "approval":
      return "Waiting for your answer to the open question";
    case "client-tool":
      return "Waiting for a window that carries out a tool";
    default:
      return "Waiting to begin";
  }
}
