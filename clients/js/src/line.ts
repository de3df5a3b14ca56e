/** One connection that carries a stream: it ends with its signal, and when it has been silent for too long. */
import { blocksOf, type SseBlock } from "./sse-blocks.js";
import { TIMER_LIMIT_MS, type Wake } from "./wake.js";

/** A `fetch` as `HttpAgent` calls it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Three heartbeats of the service (15 s): a line that says less is dead, whatever the system thinks of it. */
export const QUIET_MS = 45_000;

/** A connection and its answer. */
export class Line {
  readonly response: Response;
  readonly #abort: AbortController;
  readonly #unlink: () => void;

  private constructor(response: Response, abort: AbortController, unlink: () => void) {
    this.response = response;
    this.#abort = abort;
    this.#unlink = unlink;
  }

  /**
   * Send the request.
   *
   * @param init Its signal ends the line as well.
   */
  static async open(fetch: Fetch, url: string, init: RequestInit): Promise<Line> {
    init.signal?.throwIfAborted();
    const { abort, unlink } = following(init.signal);
    try {
      return new Line(await fetch(url, { ...init, signal: abort.signal }), abort, unlink);
    } catch (error) {
      unlink();
      throw error;
    }
  }

  /**
   * Send a request, and once more after a 401.
   *
   * @param ask Asked for other headers; `null` if there are none, then the refusal is returned.
   * @param keep Takes the headers, for this request and all further ones.
   */
  static async openSignedIn(
    send: () => Promise<Line>,
    ask: (() => Promise<Record<string, string> | null>) | undefined,
    keep: (headers: Record<string, string>) => void,
  ): Promise<Line> {
    const line = await send();
    if (line.response.status !== 401 || ask === undefined) return line;
    const headers = await ask();
    if (headers === null) return line;
    line.close();
    keep(headers);
    return await send();
  }

  /** The answer carries events. */
  get isStream(): boolean {
    const type = this.response.headers.get("content-type") ?? "";
    return this.response.status === 200 && this.response.body !== null && type.startsWith("text/event-stream");
  }

  /**
   * Yield the blocks until the body ends.
   *
   * @param quietMs Silence after which the line counts as broken.
   * @param wake When it wakes, half of that is enough: after a sleep of the machine, no timer has gone on.
   * @throws The error of the line.
   */
  async *blocks(quietMs: number, wake: Wake): AsyncGenerator<SseBlock> {
    let heardAt = Date.now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const cut = () => this.#abort.abort(new Error(`nothing came for ${quietMs} ms`));
    const heard = () => {
      heardAt = Date.now();
      clearTimeout(timer);
      if (quietMs < TIMER_LIMIT_MS) timer = setTimeout(cut, quietMs);
    };
    const stop = wake(() => {
      if (Date.now() - heardAt > quietMs / 2) cut();
    });
    heard();
    try {
      yield* blocksOf(this.response.body!, heard);
    } finally {
      clearTimeout(timer);
      stop();
      this.close();
    }
  }

  /** Let go of the connection. */
  close(): void {
    this.#unlink();
    this.#abort.abort();
  }
}

/** Return a controller that aborts with a signal, and how to end that; `AbortSignal.any` is missing in older engines. */
export function following(signal?: AbortSignal | null): { abort: AbortController; unlink: () => void } {
  const abort = new AbortController();
  const forward = () => abort.abort(signal?.reason);
  if (signal?.aborted) forward();
  signal?.addEventListener("abort", forward);
  return { abort, unlink: () => signal?.removeEventListener("abort", forward) };
}
