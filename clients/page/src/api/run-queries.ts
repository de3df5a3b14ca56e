import { address, requestJson } from "./http";
import type { RunDetails, RunPage } from "./run-details";

/** A page of a thread's runs, newest first. */
export function listRuns(threadId: string, before: string | null = null, limit = 30): Promise<RunPage> {
  return requestJson(address(`/threads/${encodeURIComponent(threadId)}/runs`, { limit, before }));
}

export function readRun(threadId: string, runId: string, signal: AbortSignal): Promise<RunDetails> {
  return requestJson(address(`/runs/${encodeURIComponent(runId)}`, { threadId }), { signal });
}
