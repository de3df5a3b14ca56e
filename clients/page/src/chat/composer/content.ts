/** Text and attachments of a message, apart and together. Pure. */
import type { ContentPart } from "@ag-ui/client";
import type { UserContent } from "../../session/types";

/** Put a message together: plain text if it is nothing else. */
export function contentOf(text: string, parts: readonly ContentPart[]): UserContent {
  if (parts.length === 0) return text;
  return [...(text === "" ? [] : [{ type: "text" as const, text }]), ...parts];
}

export function attachmentsOf(content: UserContent): ContentPart[] {
  return typeof content === "string" ? [] : content.filter((part) => part.type !== "text");
}
