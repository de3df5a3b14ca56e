/** Who wrote a message: the agent itself, or a subagent. Pure. */
import type { Message } from "@ag-ui/client";

/** The subagent that a message belongs to; `null` for the agent's own. */
export function ownerOf(message: Message): string | null {
  const owner = (message as { subagentRunId?: unknown }).subagentRunId;
  return typeof owner === "string" ? owner : null;
}

/** The messages of the conversation itself: those of subagents are shown inside the calls that began them. */
export function isTopLevel(message: Message): boolean {
  return ownerOf(message) === null;
}
