/** What the service takes, asked once. */
import { signal } from "@preact/signals";
import { address, requestJson } from "./http";

export interface FileLimits {
  /** Largest file; `null` while unknown. */
  maxBytes: number | null;
  /** Longest recording in seconds. */
  maxRecordingSeconds: number;
}

interface Capabilities {
  custom?: { files?: { maxBytes?: number }; transcription?: { maxSeconds?: number } };
}

export const fileLimits = signal<FileLimits>({ maxBytes: null, maxRecordingSeconds: 600 });
let asked: Promise<void> | null = null;

/** Ask for the limits, if nobody has; a service that does not answer refuses by itself what is too large. */
export function askForLimits(): Promise<void> {
  asked ??= requestJson<Capabilities>(address("/capabilities")).then(
    ({ custom }) => {
      fileLimits.value = {
        maxBytes: custom?.files?.maxBytes ?? null,
        maxRecordingSeconds: custom?.transcription?.maxSeconds ?? fileLimits.peek().maxRecordingSeconds,
      };
    },
    () => {
      asked = null;
    },
  );
  return asked;
}
