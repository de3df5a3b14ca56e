/** What the service takes, asked once. */
import { signal } from "@preact/signals";
import { address, requestJson } from "./http";

export interface FileLimits {
  /** Largest file; `null` while unknown. */
  maxBytes: number | null;
  /** Whether the service stores files; `null` while unknown. */
  areStored: boolean | null;
  /** Longest recording in seconds. */
  maxRecordingSeconds: number;
}

interface Capabilities {
  custom?: { files?: { maxBytes?: number }; transcription?: { maxSeconds?: number } };
}

/** Of all attachments of a message together, when they travel in its request: it may have 4 MiB, and base64 adds a third. */
const MAX_INLINE_BYTES = 2.5 * 2 ** 20;

export const fileLimits = signal<FileLimits>({ maxBytes: null, areStored: null, maxRecordingSeconds: 600 });
let asked: Promise<void> | null = null;

/** Ask for the limits, if nobody has; a service that does not answer refuses by itself what is too large. */
export function askForLimits(): Promise<void> {
  asked ??= requestJson<Capabilities>(address("/capabilities")).then(
    ({ custom }) => {
      fileLimits.value = {
        maxBytes: custom?.files ? (custom.files.maxBytes ?? null) : MAX_INLINE_BYTES,
        areStored: custom?.files !== undefined,
        maxRecordingSeconds: custom?.transcription?.maxSeconds ?? fileLimits.peek().maxRecordingSeconds,
      };
    },
    () => {
      asked = null;
    },
  );
  return asked;
}
