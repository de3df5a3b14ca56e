/** What a file is, and whether a model can be given it. The service has the last word: it looks at the bytes. */

export type Kind = "image" | "audio" | "document";

/** Types whose browsers' names differ, or that browsers do not know, by the end of the file's name. */
const BY_ENDING: Readonly<Record<string, string>> = {
  csv: "text/csv", md: "text/markdown", markdown: "text/markdown", json: "application/json", jsonl: "application/jsonl",
  yaml: "application/yaml", yml: "application/yaml", toml: "application/toml", xml: "application/xml", sql: "application/sql",
  js: "text/javascript", ts: "text/plain", mjs: "text/javascript", tsx: "text/plain", jsx: "text/plain", py: "text/x-python",
  rs: "text/plain", go: "text/plain", java: "text/plain", c: "text/plain", h: "text/plain", cpp: "text/plain", sh: "text/plain",
  log: "text/plain", ini: "text/plain", cfg: "text/plain", tex: "text/plain", srt: "text/plain", vue: "text/plain",
};

const TEXT = /^(text\/.+|application\/(json|xml|yaml|x-yaml|toml|csv|x-ndjson|jsonl|javascript|sql|.+\+(json|xml)))$/;
const SOUND = /^audio\/(wav|x-wav|wave|vnd\.wave|mpeg|mp3|x-mp3)$/;

/** For the file picker: what is offered first. */
export const ACCEPTED =
  "image/*,application/pdf,text/*,.wav,.mp3," + Object.keys(BY_ENDING).map((ending) => `.${ending}`).join(",");

/** Longest text that a message may have, as the service has it. */
export const MAX_TEXT_BYTES = 128 << 10;

export function mediaTypeOf({ name, type }: { name: string; type: string }): string {
  const ending = /\.([^.]+)$/.exec(name.toLowerCase())?.[1] ?? "";
  const plain = type.split(";")[0]!.trim().toLowerCase();
  // Browsers take `.ts` for a film.
  if (Object.hasOwn(BY_ENDING, ending)) return BY_ENDING[ending]!;
  return plain || "application/octet-stream";
}

export function kindOf(mediaType: string): Kind {
  return mediaType.startsWith("image/") ? "image" : mediaType.startsWith("audio/") ? "audio" : "document";
}

export interface Limits {
  /** `null`: unknown, or no limit. */
  maxBytes: number | null;
  /** Whether the service stores files; without a store, attachments are part of the message. `null`: unknown. */
  areStored?: boolean | null;
}

/** Say why a file cannot be attached; `null` if it can. */
export function refusal(file: { name: string; type: string; size: number }, { maxBytes }: Limits): string | null {
  const type = mediaTypeOf(file);
  if (file.size === 0) return "The file is empty.";
  if (maxBytes !== null && file.size > maxBytes) return `Larger than ${inWords(maxBytes)}.`;
  if (TEXT.test(type)) return file.size > MAX_TEXT_BYTES ? `A text may have ${inWords(MAX_TEXT_BYTES)}.` : null;
  if (type.startsWith("image/") || type === "application/pdf" || SOUND.test(type)) return null;
  if (type.startsWith("audio/")) return "Sound has to be WAV or MP3.";
  if (type.startsWith("video/")) return "Videos cannot be given to the model.";
  // Without a type: perhaps a text. The service looks at its bytes.
  if (type === "application/octet-stream" && file.size <= MAX_TEXT_BYTES) return null;
  return "Only images, PDF, text, WAV and MP3.";
}

export function inWords(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KB", "MB", "GB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} ${units[unit]}`;
}
