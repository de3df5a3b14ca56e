import { address, requestJson } from "./http";

export interface Transcript {
  text: string;
  language: string | null;
  durationMs: number;
}

/** Turn a recording into text. The same recording sent again is paid for once. */
export function transcribe(recording: Blob, signal: AbortSignal): Promise<Transcript> {
  const form = new FormData();
  form.append("file", recording, "recording");
  return requestJson(address("/transcribe"), { method: "POST", body: form, signal });
}
