/**
 * A whole thread as one endless stream: what was said so far, then every run of every device, over all broken lines.
 *
 * Rules:
 *
 * 1. It connects (`GET /events?connect=true`): a valid AG-UI stream from `RUN_STARTED` to the end of the live run, or to
 *    the end of the last one. Then it follows the thread from the cursor of that end (`GET /events?cursor=…`).
 * 2. A stream that ends is opened again at the cursor of its last event, whatever ended it.
 * 3. A thread that nobody has begun is not asked for until `begun` rings, or now and then: another device may begin it.
 * 4. The stream ends when it is closed (`closed`), when the thread is deleted (`deleted`), and when the events after its
 *    cursor are not there (`expired`: connect again, with a new pipeline).
 */
import type { BaseEvent } from "@ag-ui/client";
import { following, Line, QUIET_MS, type Fetch } from "./line.js";
import { passes, Retries, type RetryOptions } from "./retries.js";
import { isTerminal, type SseBlock } from "./sse-blocks.js";
import { refusal, StreamError } from "./stream-error.js";
import { anyWake, Bell, browserWake, pause } from "./wake.js";

/** One event as it arrived. */
export interface Frame {
  /** Where the thread goes on after it; `3-17.2` within an opening (send it back only with `Last-Event-ID`). */
  readonly cursor: string | null;
  readonly event: BaseEvent;
  /** The JSON text of the event. */
  readonly data: string;
}

/** Why a followed thread has ended. */
export type FollowEnd = "closed" | "deleted" | "expired";

/** How a thread is followed. */
export interface FollowOptions extends RetryOptions {
  /** Address of the API, for example `/api/v1/agent`. */
  readonly baseUrl: string;
  readonly threadId: string;
  /** How many of the newest messages the opening has, at most 200. */
  readonly limit?: number;
  /** Headers of every request, for example `Authorization`; a function is asked each time. */
  readonly headers?: Record<string, string> | (() => Record<string, string>);
  readonly fetch?: Fetch;
  /** Silence after which the line counts as broken. */
  readonly quietMs?: number;
  /** How often to look for a thread that nobody has begun. */
  readonly lookMs?: number;
  /** Told of every event, before the pipeline is. */
  readonly onFrame?: (frame: Frame) => void;
  /** Asked after a 401; returns headers for all further requests, or `null` if there are none. */
  readonly onUnauthorized?: () => Promise<Record<string, string> | null>;
}

/** Cursor of a thread that has no events yet. */
const START = "0-0";

/** One stream over a thread. */
export class FollowedThread {
  readonly #options: FollowOptions;
  readonly #retries: Retries;
  readonly #abort: AbortController;
  readonly #fetch: Fetch;
  readonly #begun = new Bell();
  #isBegun = false;
  #fresh: Record<string, string> = {};
  #last: string | null = null;
  #end: FollowEnd | null = null;

  constructor(options: FollowOptions, signal?: AbortSignal | null) {
    this.#options = options;
    this.#abort = following(signal).abort;
    const wake = anyWake(options.wake ?? browserWake, this.#begun.wake);
    this.#retries = new Retries({ tries: Infinity, ...options, wake }, this.#abort.signal);
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
  }

  /** Why the stream has ended; `null` before. */
  get end(): FollowEnd | null {
    return this.#end;
  }

  /** Cursor of the last event. */
  get cursor(): string | null {
    return this.#last;
  }

  /** Whether the service has told an event of the thread; of one that nobody has begun it tells an empty opening. */
  get exists(): boolean {
    return this.#place() !== START;
  }

  /** Look at once: the thread has been begun. */
  begun(): void {
    this.#isBegun = true;
    this.#begun.ring();
  }

  /** End the stream, in order. */
  close(): void {
    this.#end ??= "closed";
    this.#abort.abort();
  }

  /**
   * Yield the blocks of all events. Ends as rule 4 says.
   *
   * @throws StreamError when the service refuses for good, for example without a valid token.
   */
  async *blocks(): AsyncGenerator<string> {
    try {
      this.#retries.say("connecting");
      yield* this.#connect();
      while (this.#end === null) {
        if (!this.exists) await this.#untilBegun();
        yield* this.#once(`cursor=${this.#place()}`, false);
      }
    } catch (error) {
      if (this.#abort.signal.aborted) this.#end ??= "closed";
      if (this.#end === null) throw error;
    } finally {
      this.close();
    }
  }

  /** Where the thread goes on. Within an opening, the id of an event is no cursor. */
  #place(): string {
    return (this.#last ?? START).split(".")[0]!;
  }

  async *#connect(): AsyncGenerator<string> {
    const query = `connect=true&limit=${this.#options.limit ?? 50}`;
    let connected = false;
    while (!connected && this.#end === null) connected = yield* this.#once(query, true);
  }

  async #untilBegun(): Promise<void> {
    // It may have rung while the opening was still on its way.
    if (!this.#isBegun) await pause(this.#options.lookMs ?? 30_000, this.#begun.wake, this.#abort.signal);
    this.#isBegun = false;
  }

  /** Yield the blocks of one connection, and wait if it broke. Returns whether what it was for is over. */
  async *#once(query: string, connects: boolean): AsyncGenerator<string, boolean> {
    let line: Line | null = null;
    let error: unknown;
    try {
      line = await this.#send(query, connects);
      if (line.isStream) {
        this.#retries.say("live");
        for await (const block of line.blocks(this.#options.quietMs ?? QUIET_MS, this.#retries.wake)) {
          this.#retries.hint(block.retryMs);
          if (block.data === null) continue;
          this.#tell(block, block.data);
          yield block.text;
          if (connects && isTerminal(block.data)) return true;
        }
      } else if (!passes(line.response)) {
        await this.#judge(line.response);
        return true;
      }
    } catch (reason) {
      if (reason instanceof StreamError) throw reason;
      error = reason;
    }
    await this.#retries.wait({ error, response: line?.isStream ? null : (line?.response ?? null) });
    line?.close();
    return false;
  }

  #tell(block: SseBlock, data: string): void {
    this.#last = block.id ?? this.#last;
    this.#retries.progress();
    this.#options.onFrame?.({ cursor: block.id, event: JSON.parse(data) as BaseEvent, data });
  }

  /** Take an answer that would be the same next time. */
  async #judge(response: Response): Promise<void> {
    // Of a stream that connects: everything was told.
    if (response.status === 204) return;
    const refused = await refusal(response);
    if (response.status === 404 && this.exists) this.#end = "deleted";
    else if (response.status === 404 && this.#last !== null) return;
    else if (response.status === 410 || refused.code === "cursor-ahead") this.#end = "expired";
    else throw refused;
  }

  async #send(query: string, connects: boolean): Promise<Line> {
    const { baseUrl, threadId, headers, onUnauthorized } = this.#options;
    const url = `${baseUrl}/events?threadId=${encodeURIComponent(threadId)}&${query}`;
    const place: Record<string, string> = connects && this.#last !== null ? { "Last-Event-ID": this.#last } : {};
    const send = () => {
      const own = typeof headers === "function" ? headers() : headers;
      return Line.open(this.#fetch, url, {
        // JSON as well: an EventSource, which asks for a stream alone, is never told that the service is busy.
        headers: { ...own, ...this.#fresh, ...place, Accept: "text/event-stream, application/json" },
        signal: this.#abort.signal,
      });
    };
    return await Line.openSignedIn(send, onUnauthorized, (fresh) => void (this.#fresh = fresh));
  }
}
