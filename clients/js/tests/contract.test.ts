import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { blocksOf } from "../src/sse-blocks.js";

/** A body of `contract/sse`, whose rules hold for the clients in Python and Dart as well. */
interface Example {
  readonly name: string;
  readonly text?: string;
  readonly base64?: string;
  readonly frames: readonly { readonly id: string; readonly data: string; readonly event: string }[];
  readonly retryMs: number | null;
  /** Of the kind that the service sends: lines end with LF. */
  readonly plain: boolean;
}

const FRAMES = new URL("../../../contract/sse/frames.json", import.meta.url);
const examples = (JSON.parse(readFileSync(FRAMES, "utf8")) as Example[]).filter(({ plain }) => plain);

async function read(parts: readonly Buffer[]): Promise<Pick<Example, "frames" | "retryMs">> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
  const frames: { id: string; data: string; event: string }[] = [];
  let retryMs: number | null = null;
  for await (const block of blocksOf(body)) {
    retryMs = block.retryMs ?? retryMs;
    if (block.data !== null) frames.push({ id: block.id ?? "", data: block.data, event: "" });
  }
  return { frames, retryMs };
}

describe("frames are the same wherever the body is cut", () => {
  test.each(examples)("$name", async ({ text, base64, frames, retryMs }) => {
    const body = text === undefined ? Buffer.from(base64 ?? "", "base64") : Buffer.from(text);
    for (let cut = 0; cut <= body.length; cut++) {
      expect(await read([body.subarray(0, cut), body.subarray(cut)])).toEqual({ frames, retryMs });
    }
  });
});
