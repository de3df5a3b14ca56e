import type { Message } from "@ag-ui/client";

export type AssistantMessage = Extract<Message, { role: "assistant" }>;
export type ToolMessage = Extract<Message, { role: "tool" }>;
export type UserMessage = Extract<Message, { role: "user" }>;
export type ReasoningMessage = Extract<Message, { role: "reasoning" }>;
export type ToolCall = NonNullable<AssistantMessage["toolCalls"]>[number];

/** The words of a message, without its attachments; several texts are paragraphs. */
export function textOf(content: Message["content"]): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");
}
