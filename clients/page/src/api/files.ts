/** Files of the user: upload with progress, and the bytes of one. */
import { Problem } from "../session/types";
import { address, authorization, problemOfText, request } from "./http";

export interface StoredFile {
  fileId: string;
  name: string;
  mediaType: string;
  bytes: number;
}

/**
 * Upload a file.
 *
 * @param onProgress Called with the sent share, 0 to 1. `fetch` cannot tell it, so this is an XMLHttpRequest.
 * @throws Problem when the service refuses or cannot be reached; `AbortError` when the signal is aborted.
 */
export function uploadFile(file: File, { onProgress, signal }: { onProgress(share: number): void; signal: AbortSignal }) {
  return new Promise<StoredFile>((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", address("/files"));
    for (const [name, value] of Object.entries(authorization())) sending.setRequestHeader(name, value);
    sending.setRequestHeader("Accept", "application/json");
    sending.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    sending.onload = () => {
      if (sending.status >= 300) return reject(problemOfText(sending.status, sending.responseText, (name) => sending.getResponseHeader(name)));
      const { fileId, name, mediaType, bytes } = JSON.parse(sending.responseText) as StoredFile;
      resolve({ fileId, name: name ?? file.name, mediaType, bytes });
    };
    sending.onerror = () => reject(new Problem("network", "The service cannot be reached.", 0, true));
    sending.onabort = () => reject(new DOMException("The upload was cancelled.", "AbortError"));
    signal.addEventListener("abort", () => sending.abort());
    const form = new FormData();
    form.append("file", file, file.name);
    sending.send(form);
  });
}

export async function readFile(fileId: string): Promise<Blob> {
  return (await request(fileAddress(fileId))).blob();
}

export function fileAddress(fileId: string): string {
  return address(`/files/${encodeURIComponent(fileId)}`);
}
