/** How a tool's result is shown: as laid out JSON, as text, or as media parts; pure. */
import type { ToolMessage } from "../session/message-parts";
import { isObject, parsed } from "./loose-json";

/** About forty lines: what a person reads before asking for more. */
const SHOWN_CHARACTERS = 2_000;
const SHOWN_LINES = 40;

export type ResultPart =
  | { kind: "text" | "json"; text: string }
  | { kind: "image" | "audio" | "video" | "document"; url: string; mimeType: string };

export function resultParts(content: ToolMessage["content"] | undefined): ResultPart[] {
  if (content === undefined || content === "") return [];
  if (typeof content === "string") return [textPart(content)];
  return (content as readonly unknown[]).flatMap(mediaPart);
}

/** Cut a long text; `rest` counts the characters that are not shown. */
export function shorten(text: string): { text: string; rest: number } {
  const lines = text.split("\n");
  const byLines = lines.length > SHOWN_LINES ? lines.slice(0, SHOWN_LINES).join("\n") : text;
  const shown = byLines.length > SHOWN_CHARACTERS ? byLines.slice(0, SHOWN_CHARACTERS) : byLines;
  // A cut that saves only a little costs a click.
  return text.length - shown.length < 200 ? { text, rest: 0 } : { text: shown, rest: text.length - shown.length };
}

function textPart(text: string): ResultPart {
  const value = /^\s*[[{]/.test(text) ? parsed(text) : undefined;
  return typeof value === "object" && value !== null
    ? { kind: "json", text: JSON.stringify(value, null, 2) }
    : { kind: "text", text };
}

function mediaPart(part: unknown): ResultPart[] {
  if (!isObject(part)) return [];
  if (part["type"] === "text" && typeof part["text"] === "string") return [textPart(part["text"])];
  const kind = part["type"];
  const source = part["source"];
  if ((kind !== "image" && kind !== "audio" && kind !== "video" && kind !== "document") || !isObject(source)) return [];
  const mimeType = typeof source["mimeType"] === "string" ? source["mimeType"] : "application/octet-stream";
  const value = source["value"];
  if (typeof value !== "string") return [];
  const metadata = isObject(part["metadata"]) ? part["metadata"] : {};
  const url =
    source["type"] === "data"
      ? `data:${mimeType};base64,${value}`
      : source["type"] === "file"
        ? metadata["url"]
        : value;
  return typeof url === "string" ? [{ kind, url, mimeType }] : [];
}
