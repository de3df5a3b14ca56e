import type { Usage } from "./threads";

export type RunStatus = "waiting" | "queued" | "running" | "succeeded" | "interrupted" | "cancelled" | "failed";

/** One run as `GET /runs/{runId}` shows it. Members that are not known yet are absent. */
export interface RunDetails {
  threadId: string;
  runId: string;
  agentId?: string;
  status: RunStatus;
  waitsFor?: "worker" | "approval" | "client-tool" | "earlier-run";
  attempt: number;
  errorCode?: string;
  cancelRequested: boolean;
  createdAt: string;
  startedAt?: string;
  firstTokenAt?: string;
  endedAt?: string;
  queueMs?: number;
  ttftMs?: number;
  totalMs?: number;
  modelMs: number;
  toolMs: number;
  usage: Usage;
}

export interface RunPage {
  runs: RunDetails[];
  nextBefore: string | null;
}

/** The service's name for the run of a thread that has none yet: nothing can be asked of it. */
export function isMadeUp(runId: string): boolean {
  return /^connect-\d+$/.test(runId);
}

const LIVE: ReadonlySet<RunStatus> = new Set(["waiting", "queued", "running"]);

export function isLive(run: Pick<RunDetails, "status">): boolean {
  return LIVE.has(run.status);
}
