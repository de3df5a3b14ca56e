/** A `fetch` for `HttpAgent` that hides broken lines: the agent sees one stream, from the first event to the last. */
import { streamResponse } from "./body.js";
import { following, Line, QUIET_MS, type Fetch } from "./line.js";
import { passes, Retries, type RetryOptions } from "./retries.js";
import { isTerminal } from "./sse-blocks.js";
import { refusal, StreamError } from "./stream-error.js";

/** How `resumingFetch` works. */
export interface ResumingFetchOptions extends RetryOptions {
  /** What sends the requests; the default is the global `fetch`. */
  readonly fetch?: Fetch;
  /**
   * Failures of the very first request after which it gives up. It may be repeated: the same `runId` and body are the
   * same run.
   */
  readonly firstTries?: number;
  /** Silence after which the line counts as broken; the service sends a heartbeat every 15 s. */
  readonly quietMs?: number;
  /**
   * Asked after a 401, which also ends a stream whose token has expired. Returns headers for all further requests, for
   * example a new `Authorization`, or `null` if there are none.
   */
  readonly onUnauthorized?: () => Promise<Record<string, string> | null>;
}

/**
 * Return a `fetch` that sends a request again when its stream was cut off, with the header `Last-Event-ID`.
 *
 * A stream without a terminal event (`RUN_FINISHED`, `RUN_ERROR`) was cut off, also when it was closed in order. The
 * body that the agent reads fails with a `StreamError` when the connection cannot be made again. Answers that are no
 * stream are passed on as they are.
 *
 * Works with `POST /runs`, `POST /resume`, `POST /events` and `GET /events` of AgentRoute. Do not combine it with
 * `forwardedProps.onDisconnect: "cancel"`: every broken line would stop the run.
 */
export function resumingFetch(options: ResumingFetchOptions = {}): Fetch {
  return async (url, init = {}) => {
    const stream = new ResumedStream(options, url, init);
    return await stream.open();
  };
}

class ResumedStream {
  readonly #options: ResumingFetchOptions;
  readonly #url: string;
  readonly #init: RequestInit;
  readonly #headers: Headers;
  readonly #abort: AbortController;
  readonly #fetch: Fetch;
  #last: string | null = null;

  constructor(options: ResumingFetchOptions, url: string, init: RequestInit) {
    this.#options = options;
    this.#url = url;
    this.#abort = following(init.signal).abort;
    this.#init = { ...init, signal: this.#abort.signal };
    this.#headers = new Headers(init.headers);
    // Called as a function: the `fetch` of a browser refuses any other receiver.
    this.#fetch = options.fetch ?? ((address, request) => fetch(address, request));
  }

  /** Send the request until there is an answer, and return it with a body that goes on. */
  async open(): Promise<Response> {
    const retries = new Retries({ ...this.#options, tries: this.#options.firstTries ?? 3 }, this.#init.signal);
    retries.say("connecting");
    for (;;) {
      let line: Line | null = null;
      let error: unknown;
      try {
        line = await this.#send();
      } catch (reason) {
        error = reason;
      }
      if (line !== null && !passes(line.response)) {
        if (!line.isStream) return line.response;
        return streamResponse(this.#resumed(line), () => this.#abort.abort(), line.response.headers);
      }
      try {
        await retries.wait({ error, response: line?.response ?? null });
      } catch (reason) {
        // What the last answer says is more than that there were several.
        if (line !== null && reason instanceof StreamError) return line.response;
        throw error !== undefined && reason instanceof StreamError ? error : reason;
      }
      line?.close();
    }
  }

  async *#resumed(first: Line): AsyncGenerator<string> {
    const retries = new Retries(this.#options, this.#init.signal);
    let line: Line | null = first;
    for (;;) {
      let error: unknown;
      try {
        if (line?.isStream) {
          retries.say("live");
          for await (const block of line.blocks(this.#options.quietMs ?? QUIET_MS, retries.wake)) {
            retries.hint(block.retryMs);
            if (block.id !== null) this.#last = block.id;
            if (block.data !== null) retries.progress();
            yield block.text;
            if (block.data !== null && isTerminal(block.data)) return;
          }
        }
      } catch (reason) {
        error = reason;
      }
      await retries.wait({ error, response: line?.isStream ? null : (line?.response ?? null) });
      line?.close();
      line = await this.#again();
      if (line?.response.status === 204) return;
    }
  }

  /** Send the request once more; `null` without an answer. */
  async #again(): Promise<Line | null> {
    const line = await this.#send().catch(() => null);
    if (line === null || line.isStream || line.response.status === 204 || passes(line.response)) return line;
    throw await refusal(line.response);
  }

  async #send(): Promise<Line> {
    if (this.#last !== null) this.#headers.set("Last-Event-ID", this.#last);
    const send = () => Line.open(this.#fetch, this.#url, { ...this.#init, headers: Object.fromEntries(this.#headers) });
    return await Line.openSignedIn(send, this.#options.onUnauthorized, (fresh) => {
      for (const [name, value] of Object.entries(fresh)) this.#headers.set(name, value);
    });
  }
}
