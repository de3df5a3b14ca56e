/** When to try again after a line broke: growing pauses with jitter, and what the server asks for. */
import { StreamError } from "./stream-error.js";
import { browserWake, pause, type Wake } from "./wake.js";

/**
 * `connecting`: no answer yet. `live`: the stream is open. `reconnecting`: the line broke, it is tried again by
 * itself. `offline`: the same, and the browser says that there is no network.
 */
export type ConnectionState = "connecting" | "live" | "reconnecting" | "offline";

/** How a stream reconnects. Every member may be left out. */
export interface RetryOptions {
  /** Failures in a row after which it gives up. */
  readonly tries?: number;
  /** The first pause, unless the server names one (`retry:`, `Retry-After`); it doubles with each failure. */
  readonly pauseMs?: number;
  /** The longest pause, 30 s by default, except where the server asks for a longer one (`retry:`, `Retry-After`). */
  readonly maxPauseMs?: number;
  /** What ends a pause early; the default is `browserWake`. */
  readonly wake?: Wake;
  /** Told of every change. */
  readonly onState?: (state: ConnectionState) => void;
  /** From 0 to 1, for the jitter. */
  readonly random?: () => number;
}

/** Why a connection ended. */
export interface Failure {
  readonly error?: unknown;
  readonly response?: Response | null;
}

/** Counts the failures in a row of one stream, and waits between its connections. */
export class Retries {
  readonly wake: Wake;
  readonly #options: Required<Omit<RetryOptions, "wake" | "onState">>;
  readonly #onState: ((state: ConnectionState) => void) | undefined;
  readonly #signal: AbortSignal | null;
  #state: ConnectionState | null = null;
  #failures = 0;
  #retryMs: number | null = null;

  constructor(options: RetryOptions, signal?: AbortSignal | null) {
    const { tries = 10, pauseMs = 2000, maxPauseMs = 30_000, random = Math.random } = options;
    this.#options = { tries, pauseMs, maxPauseMs, random };
    this.#onState = options.onState;
    this.wake = options.wake ?? browserWake;
    this.#signal = signal ?? null;
  }

  /** Tell a change of the state. */
  say(state: ConnectionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#onState?.(state);
  }

  /** The server has said how long to wait before the next connection. */
  hint(retryMs: number | null): void {
    this.#retryMs = retryMs ?? this.#retryMs;
  }

  /** An event has come: the line works. */
  progress(): void {
    this.#failures = 0;
  }

  /**
   * Wait before the next connection.
   *
   * @throws StreamError when it has failed too often in a row; the signal's reason when aborted.
   */
  async wait({ error, response }: Failure): Promise<void> {
    this.#signal?.throwIfAborted();
    if (++this.#failures > this.#options.tries) throw this.#givenUp(error, response);
    this.say(isOffline() ? "offline" : "reconnecting");
    await pause(this.#pauseMs(response), this.wake, this.#signal);
  }

  #pauseMs(response: Response | null | undefined): number {
    const { pauseMs, maxPauseMs, random } = this.#options;
    const first = this.#retryMs ?? pauseMs;
    const grown = Math.min(first * 2 ** (this.#failures - 1), Math.max(maxPauseMs, first));
    // Not all clients of a process that has ended come back in the same moment, and none before it is asked to.
    return Math.max(grown * (0.5 + random()), retryAfterMs(response) * (1 + random() / 2));
  }

  #givenUp(error: unknown, response: Response | null | undefined): StreamError {
    const status = response?.status ?? null;
    const last = status === null ? "without an answer" : `with HTTP ${status}`;
    const failures = this.#failures === 1 ? "The connection failed" : `${this.#failures} connections in a row failed`;
    return new StreamError(
      `${failures}, the last ${last}. A run that was accepted goes on: connect again to see it.`,
      "connection-lost",
      status,
      { cause: error },
    );
  }
}

/** Answers that may be different next time. */
export function passes(response: Response): boolean {
  return response.status >= 500 || [408, 425, 429].includes(response.status);
}

function retryAfterMs(response: Response | null | undefined): number {
  const value = response?.headers.get("retry-after");
  if (!value) return 0;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(ms, 0) : 0;
}

function isOffline(): boolean {
  return (globalThis as { navigator?: { onLine?: boolean } }).navigator?.onLine === false;
}
