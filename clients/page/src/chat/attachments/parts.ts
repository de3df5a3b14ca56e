/** Attachments as parts of a message: by the name of a stored file, or with their bytes. */
import type { ContentPart } from "@ag-ui/client";
import type { StoredFile } from "../../api/files";
import { kindOf, mediaTypeOf } from "./media-type";

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

interface Described {
  name: string;
  mediaType: string;
  /** Of a stored file. */
  fileId: string | null;
  /** Of inline data, in base64. */
  data: string | null;
}

/** Say what a part of a message is. */
export function described(part: ContentPart): Described {
  const { source, metadata } = part as {
    source?: { type: string; value: string; mimeType?: string };
    metadata?: { filename?: string };
  };
  return {
    name: metadata?.filename ?? ({ image: "Picture", audio: "Sound" }[part.type as string] ?? "Document"),
    mediaType: source?.mimeType ?? "",
    fileId: source?.type === "file" ? source.value : null,
    data: source?.type === "data" ? source.value : null,
  };
}

function base64(bytes: Uint8Array): string {
  let text = "";
  // In pieces: a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}
