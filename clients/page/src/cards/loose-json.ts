/**
 * Lays out JSON text that may end in the middle, as the arguments of a call do while the model writes them. What is no
 * JSON is kept as it is: a model's broken arguments are worth seeing.
 */

const INDENT = "  ";

/** Return the text with one member per line. Never throws, and never loses a character that is not white space. */
export function layOut(text: string): string {
  let out = "";
  let depth = 0;
  let inString = false;
  const breakLine = () => `\n${INDENT.repeat(Math.max(0, depth))}`;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (inString) {
      out += character;
      if (character === "\\" && at + 1 < text.length) out += text[++at];
      else if (character === '"') inString = false;
    } else if (character === '"') {
      inString = true;
      out += character;
    } else if (character === "{" || character === "[") {
      const closing = nextVisible(text, at + 1);
      if (closing !== undefined && text[closing] === (character === "{" ? "}" : "]")) {
        out += character + text[closing];
        at = closing;
      } else {
        depth++;
        out += character + (closing === undefined ? "" : breakLine());
      }
    } else if (character === "}" || character === "]") {
      depth--;
      out += breakLine() + character;
    } else if (character === ",") {
      out += character + (nextVisible(text, at + 1) === undefined ? "" : breakLine());
    } else if (character === ":") {
      out += ": ";
    } else if (!/\s/.test(character)) {
      out += character;
    } else if (betweenWords(text, at)) {
      out += " ";
    }
  }
  return out;
}

function nextVisible(text: string, from: number): number | undefined {
  const rest = text.slice(from).search(/\S/);
  return rest < 0 ? undefined : from + rest;
}

/** White space between two words of text that is no JSON. */
function betweenWords(text: string, at: number): boolean {
  return /[^\s{}[\],:"]/.test(text[at - 1] ?? "") && /[^\s{}[\],:]/.test(text[nextVisible(text, at) ?? -1] ?? "");
}

/** Parse JSON; `undefined` when it is none (yet). */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Parse JSON; what is none is a text. */
export function jsonOrText(text: string): unknown {
  const value = parsed(text);
  return value === undefined ? text : value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
