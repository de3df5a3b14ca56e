/** Text and attachments of a message, apart and together. Pure. */
import type { ContentPart } from "@ag-ui/client";
import type { StoredFile } from "../../api/files";
import type { UserContent } from "../../session/types";

/** Put a message together: plain text if it is nothing else. */
export function contentOf(text: string, parts: readonly ContentPart[]): UserContent {
  if (parts.length === 0) return text;
  return [...(text === "" ? [] : [{ type: "text" as const, text }]), ...parts];
}

export function textOf(content: UserContent): string {
  if (typeof content === "string") return content;
  return content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");
}

export function attachmentsOf(content: UserContent): ContentPart[] {
  return typeof content === "string" ? [] : content.filter((part) => part.type !== "text");
}

/** The stored files that a message names; inline data is not among them. */
export function filesOf(content: UserContent): StoredFile[] {
  return attachmentsOf(content).flatMap((part) => {
    const { source, metadata } = part as { source?: { type: string; value: string; mimeType?: string }; metadata?: { filename?: string } };
    if (source?.type !== "file") return [];
    return [{ fileId: source.value, name: metadata?.filename ?? "file", mediaType: source.mimeType ?? "", bytes: 0 }];
  });
}
