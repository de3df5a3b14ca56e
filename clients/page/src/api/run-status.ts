import { address, requestJson } from "./http";

/** What `GET /runs/{runId}` says of why a run waits, among much else. */
export interface RunStatus {
  status: "waiting" | "queued" | "running" | "succeeded" | "interrupted" | "cancelled" | "failed";
  waitsFor?: "worker" | "approval" | "client-tool" | "earlier-run" | null;
  createdAt: string;
}

export async function readRunStatus(threadId: string, runId: string, signal?: AbortSignal): Promise<RunStatus> {
  const init = signal ? { signal } : {};
  return await requestJson<RunStatus>(address(`/runs/${encodeURIComponent(runId)}`, { threadId }), init);
}
