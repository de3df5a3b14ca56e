/** What ends a pause early: the network or the tab is back. */

/** No timer waits for so long, 25 days: it would fire at once. */
export const TIMER_LIMIT_MS = 2 ** 31;

/** Calls `listener` when it is worth trying at once; returns how to stop that. */
export type Wake = (listener: () => void) => () => void;

/**
 * Wakes when the browser is online again, when the tab is shown, and when the page comes back from the
 * back-forward cache. Where there is no browser, it never wakes.
 */
export const browserWake: Wake = (listener) => {
  const { window, document } = globalThis as Partial<Pick<typeof globalThis, "window" | "document">>;
  if (typeof window?.addEventListener !== "function") return () => {};
  const shown = () => {
    if (document?.visibilityState === "visible") listener();
  };
  window.addEventListener("online", listener);
  window.addEventListener("pageshow", listener);
  document?.addEventListener("visibilitychange", shown);
  return () => {
    window.removeEventListener("online", listener);
    window.removeEventListener("pageshow", listener);
    document?.removeEventListener("visibilitychange", shown);
  };
};

/** Wakes when it is told to. */
export class Bell {
  readonly #listeners = new Set<() => void>();

  /** Wake whoever listens now. */
  ring(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Listen, as a `Wake`. */
  readonly wake: Wake = (listener) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };
}

/** Wakes when one of several does. */
export function anyWake(...wakes: readonly Wake[]): Wake {
  return (listener) => {
    const stops = wakes.map((wake) => wake(listener));
    return () => stops.forEach((stop) => stop());
  };
}

/** Wait; resolves early when woken, and rejects with the signal's reason when aborted. */
export async function pause(ms: number, wake: Wake, signal?: AbortSignal | null): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const end = (finish: () => void) => () => {
      clearTimeout(timer);
      stop();
      signal?.removeEventListener("abort", aborted);
      finish();
    };
    const aborted = end(() => reject(signal?.reason as Error));
    const timer = ms < TIMER_LIMIT_MS ? setTimeout(end(resolve), ms) : undefined;
    const stop = wake(end(resolve));
    signal?.addEventListener("abort", aborted);
  });
}
