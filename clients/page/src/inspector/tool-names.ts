import type { Message } from "@ag-ui/client";

/** Names of tools by the ids of their calls. */
export function toolNames(messages: readonly Message[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const message of messages) {
    if (message.role !== "assistant") continue;
    for (const call of message.toolCalls ?? []) names.set(call.id, call.function.name);
  }
  return names;
}
