/** What agents were asked to remember of the user. It belongs to the user, whatever the agent. */
import { address, requestJson } from "./http";

export interface Memory {
  memoryId: string;
  text: string;
  /** ISO 8601. */
  createdAt: string;
}

export interface MemoryPage {
  memories: Memory[];
  nextBefore: string | null;
}

/** A page of memories, newest first. */
export function listMemories(before: string | null, signal: AbortSignal): Promise<MemoryPage> {
  return requestJson(address("/memory", { before }), { signal });
}

export function deleteMemory(memoryId: string): Promise<void> {
  return requestJson(address(`/memory/${encodeURIComponent(memoryId)}`), { method: "DELETE" });
}

export function deleteMemories(): Promise<void> {
  return requestJson(address("/memory"), { method: "DELETE" });
}
