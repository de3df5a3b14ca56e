/** Attachments as parts of a message: by the name of a stored file, or with their bytes. */
import type { ContentPart } from "@ag-ui/client";
import type { StoredFile } from "../../api/files";
import { kindOf, mediaTypeOf, type Kind } from "./media-type";

/** The part of a message that names a file. */
export function partOf({ fileId, name, mediaType }: StoredFile): ContentPart {
  return {
    type: kindOf(mediaType),
    source: { type: "file", value: fileId, provider: "agentroute", mimeType: mediaType },
    metadata: { filename: name },
  } as ContentPart;
}

/** The part of a message that has the bytes itself, for a service that stores no files. */
export async function inlinePart(file: File): Promise<ContentPart> {
  const named = mediaTypeOf(file);
  const mimeType = named === "application/octet-stream" ? "text/plain" : named;
  return {
    type: kindOf(mimeType),
    source: { type: "data", value: base64(new Uint8Array(await file.arrayBuffer())), mimeType },
    metadata: { filename: file.name },
  } as ContentPart;
}

export interface Described {
  kind: Kind;
  name: string;
  mediaType: string;
  /** Of a stored file. */
  fileId: string | null;
  /** Of inline data. */
  address: string | null;
  /** Of inline data; 0 when it is not known. */
  bytes: number;
}

/** Say what a part of a message is. */
export function described(part: ContentPart): Described {
  const { source, metadata } = part as {
    source?: { type: string; value: string; mimeType?: string };
    metadata?: { filename?: string };
  };
  const mediaType = source?.mimeType ?? "";
  const data = source?.type === "data" ? source.value : null;
  return {
    kind: part.type === "image" || part.type === "audio" ? part.type : kindOf(mediaType),
    name: metadata?.filename ?? ({ image: "Picture", audio: "Sound" }[part.type as string] ?? "Document"),
    mediaType,
    fileId: source?.type === "file" ? source.value : null,
    address: data === null ? null : `data:${mediaType};base64,${data}`,
    bytes: Math.floor((data?.length ?? 0) * 0.75),
  };
}

function base64(bytes: Uint8Array): string {
  let text = "";
  // In pieces: a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}
