/** JSON as coloured pieces of text. */

export type JsonPiece = readonly [kind: "key" | "string" | "number" | "word" | "plain", text: string];

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\b(?:true|false|null)\b/g;

/** The value in lines of two spaces; the pieces joined are its text. */
export function jsonPieces(value: unknown): JsonPiece[] {
  const text = JSON.stringify(value, null, 2) ?? "undefined";
  const pieces: JsonPiece[] = [];
  let from = 0;
  for (const match of text.matchAll(TOKEN)) {
    if (match.index > from) pieces.push(["plain", text.slice(from, match.index)]);
    const [whole, string, colon] = match;
    if (string === undefined) pieces.push([/^[-\d]/.test(whole) ? "number" : "word", whole]);
    else if (colon === undefined) pieces.push(["string", string]);
    else pieces.push(["key", string], ["plain", colon]);
    from = match.index + whole.length;
  }
  if (from < text.length) pieces.push(["plain", text.slice(from)]);
  return pieces;
}
