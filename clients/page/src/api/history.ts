import type { Interrupt, Message } from "@ag-ui/client";
import { address, requestJson } from "./http";
import type { Usage } from "./threads";

export interface History {
  threadId: string;
  agentId: string | null;
  title: string | null;
  messages: Message[];
  state: unknown;
  pendingInterrupts: Interrupt[];
  activeRun: { runId: string; status: string } | null;
  cursor: string;
  hasMore: boolean;
  nextBefore: string | null;
  usage: Usage;
}

/** Read a page of a thread's messages: the newest, or those before a message. */
export function readHistory(threadId: string, { before, limit = 50 }: { before?: string; limit?: number } = {}) {
  return requestJson<History>(address("/history", { threadId, before, limit }));
}

/** Return those of these calls that have a result; they are among the newest messages, or not open any more. */
export async function findAnswered(threadId: string, callIds: readonly string[]): Promise<ReadonlySet<string>> {
  const { messages } = await readHistory(threadId);
  return new Set(callIds.filter((id) => messages.some((message) => message.role === "tool" && message.toolCallId === id)));
}
