/** Reads a body of server-sent events block by block, whatever the borders of its parts. */

/** One block of a stream: an event, a heartbeat, or the time after which to come back. */
export interface SseBlock {
  /** The whole block with its empty line, as it came. */
  readonly text: string;
  /** Cursor of the event. */
  readonly id: string | null;
  /** JSON of the event; `null` for a block that is none. */
  readonly data: string | null;
  /** What the server says of the pause before the next connection. */
  readonly retryMs: number | null;
}

/**
 * Yield the complete blocks of a body. Half a block at its end is dropped: the server tells the event again.
 *
 * @param body Of the answer; cancelled when the caller stops early.
 * @param onPart Called for every part that arrives, heartbeats included.
 */
export async function* blocksOf(body: ReadableStream<Uint8Array>, onPart?: () => void): AsyncGenerator<SseBlock> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onPart?.();
      // The last character may be the first half of the empty line.
      let from = Math.max(rest.length - 1, 0);
      rest += decoder.decode(value, { stream: true });
      for (let end; (end = rest.indexOf("\n\n", from)) >= 0; from = 0) {
        yield parseBlock(rest.slice(0, end + 2));
        rest = rest.slice(end + 2);
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function parseBlock(text: string): SseBlock {
  let id: string | null = null;
  let retryMs: number | null = null;
  const data: string[] = [];
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const field = line.slice(0, colon);
    const value = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "id") id = value;
    else if (field === "data") data.push(value);
    else if (field === "retry" && /^\d+$/.test(value)) retryMs = Number(value);
  }
  return { text, id, data: data.length > 0 ? data.join("\n") : null, retryMs };
}

const PERHAPS_TERMINAL = /"(RUN_FINISHED|RUN_ERROR)"/;

/** Say whether an event ends its run. Not by a search alone: a state or a tool result may contain the words. */
export function isTerminal(data: string): boolean {
  if (!PERHAPS_TERMINAL.test(data)) return false;
  const { type } = JSON.parse(data) as { type?: unknown };
  return type === "RUN_FINISHED" || type === "RUN_ERROR";
}
