/** A server that tells a recorded run, on a line that breaks where it is told to. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** How the next answer ends: after `events` events and `bytes` bytes more, in order or by a reset. */
export interface Cut {
  readonly events: number;
  readonly bytes?: number;
  readonly how: "close" | "reset";
}

export class RecordedService {
  readonly #server: Server;
  frames: readonly string[] = [];
  /** Of the next answers, in order; those after them are whole. */
  cuts: Cut[] = [];
  /** Answers that are given before any stream. */
  refusals: { status: number; headers?: Record<string, string>; body?: string }[] = [];
  /** What `Last-Event-ID` each request had. */
  asked: (string | undefined)[] = [];

  private constructor() {
    this.#server = createServer((request, answer) => void this.#answer(request, answer));
  }

  static async start(): Promise<RecordedService> {
    const service = new RecordedService();
    await new Promise<void>((resolve) => service.#server.listen(0, "127.0.0.1", resolve));
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/runs`;
  }

  /** Tell another run from now on. */
  tell(frames: readonly string[], ...cuts: Cut[]): void {
    Object.assign(this, { frames, cuts, refusals: [], asked: [] });
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    for await (const part of request) void part;
    const last = request.headers["last-event-id"] as string | undefined;
    this.asked.push(last);
    const refusal = this.refusals.shift();
    if (refusal !== undefined) {
      answer.writeHead(refusal.status, refusal.headers).end(refusal.body ?? "");
      return;
    }
    const from = last === undefined ? 0 : this.frames.findIndex((frame) => frame.startsWith(`id: ${last}\n`)) + 1;
    const left = this.frames.slice(from);
    if (left.length === 0) {
      answer.writeHead(204).end();
      return;
    }
    answer.writeHead(200, { "Content-Type": "text/event-stream" });
    const cut = this.cuts.shift();
    const text = Buffer.from(left.slice(0, cut?.events).join(""));
    const half = cut?.bytes ? Buffer.from(left[cut.events] ?? "").subarray(0, cut.bytes) : Buffer.alloc(0);
    const body = Buffer.concat([text, half]);
    if (cut?.how !== "reset") answer.end(body);
    else if (body.length === 0) answer.flushHeaders(), setImmediate(() => answer.socket?.destroy());
    else answer.write(body, () => answer.socket?.destroy());
  }
}
