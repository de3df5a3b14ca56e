import { address, requestJson } from "./http";
import type { RunStatus } from "./run-details";

/** Why a run is where it is (docs/how-to/stuck-runs.md). */
export interface RunWhy {
  status: RunStatus;
  /** A stable code. */
  cause: string;
  explanation: string;
  advice: string;
  /** When the service does something by itself, if nothing happens before. */
  changesAt?: string | null;
}

export function readWhy(threadId: string, runId: string, signal: AbortSignal): Promise<RunWhy> {
  return requestJson(address(`/runs/${encodeURIComponent(runId)}/why`, { threadId }), { signal });
}
