import { address, requestJson } from "./http";

export interface Usage {
  inputTokens: number;
  outputTokens: number;
  cachedInputTokens: number;
  reasoningTokens: number;
  /** US dollars as a decimal; `null` when no cost is known. */
  cost: string | null;
  costComplete: boolean;
  currency: string;
}

export interface ThreadItem {
  threadId: string;
  agentId: string | null;
  title: string | null;
  createdAt: string;
  updatedAt: string;
  messageCount: number;
  activeRun: { runId: string; status: string } | null;
  pendingInterrupts: number;
  usage: Usage;
}

interface ThreadPage {
  threads: ThreadItem[];
  nextBefore: string | null;
}

export function listThreads(query: { before?: string | null; q?: string; limit?: number }, signal?: AbortSignal) {
  return requestJson<ThreadPage>(address("/threads", query), signal ? { signal } : {});
}

export function getThread(threadId: string): Promise<ThreadItem> {
  return requestJson(address(`/threads/${encodeURIComponent(threadId)}`));
}

export function renameThread(threadId: string, title: string): Promise<ThreadItem> {
  return requestJson(address(`/threads/${encodeURIComponent(threadId)}`), { method: "PATCH", json: { title } });
}

export function deleteThread(threadId: string): Promise<void> {
  return requestJson(address(`/threads/${encodeURIComponent(threadId)}`), { method: "DELETE" });
}
