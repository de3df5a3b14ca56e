/** Which messages are there to be seen. Pure. */
import type { Message } from "@ag-ui/client";
import { textOf } from "./message-parts";
import { isTopLevel } from "./owner";

/**
 * Whether a message stands in the conversation. A model that is cut off between the beginning of a message and its first
 * word leaves one behind that says nothing.
 *
 * @param grows More may be said in it: thinking is shown before its first word.
 */
export function isVisible(message: Message, grows = false): boolean {
  // What a subagent says is shown inside the call that began it.
  if (!isTopLevel(message)) return false;
  switch (message.role) {
    case "user":
      return true;
    case "assistant":
      return isSaid(message) || (message.toolCalls ?? []).length > 0;
    case "reasoning":
      return grows || isSaid(message);
    default:
      // A tool's result is shown with its call.
      return false;
  }
}

function isSaid({ content }: Message): boolean {
  return textOf(content).trim() !== "";
}
