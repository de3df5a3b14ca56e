/** Which messages a subagent wrote, and for which call it works: pure. */
import type { Message } from "@ag-ui/client";
import { ownerOf } from "../session/owner";
import type { Activity, SubagentView } from "./activity";

/**
 * Return the subagents that work for a call. Those of runs before the page was opened are known by their messages only:
 * they stand between the call and its result, and belong to it if the assistant made no other call with it.
 */
export function subagentsFor(callId: string, activity: Activity, messages: readonly Message[]): SubagentView[] {
  const live = activity.subagents.filter((one) => one.parentCallId === callId && one.parentId === null);
  if (live.length > 0) return live;
  const told = new Set(activity.subagents.map((one) => one.id));
  const at = messages.findIndex(
    (message) =>
      message.role === "assistant" && message.toolCalls?.length === 1 && message.toolCalls[0]!.id === callId,
  );
  if (at < 0) return [];
  const name = (messages[at] as Extract<Message, { role: "assistant" }>).toolCalls![0]!.function.name;
  const found = new Map<string, SubagentView>();
  for (const message of messages.slice(at + 1)) {
    const id = ownerOf(message);
    if (id === null && message.role !== "tool") break;
    if (id === null || told.has(id) || found.has(id)) continue;
    found.set(id, { id, name, parentCallId: callId, parentId: null, status: "done", message: null, doing: null });
  }
  return [...found.values()];
}

/** Return what a subagent wrote, in order. */
export function messagesBy(id: string, messages: readonly Message[]): Message[] {
  return messages.filter((message) => ownerOf(message) === id);
}
