/**
 * A call of a client tool is carried out once, however many windows of this browser show it. What came of it is kept,
 * so that an answer that was lost is sent again instead of carrying the call out again (docs/adr/0050).
 */

export interface CallResult {
  toolCallId: string;
  content: string;
  error?: string;
}

const PREFIX = "agentroute.call.";
const KEPT = 200;

/** Where claims are kept: `localStorage`, which all windows of the browser share. */
export type Shelf = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

/** Runs a function while no other window runs one under the same name. */
export type Exclusive = <T>(name: string, work: () => Promise<T>) => Promise<T>;

export class Claims {
  constructor(
    private readonly shelf: Shelf,
    private readonly exclusive: Exclusive,
  ) {}

  /** The result of a call that was carried out in this browser; `null` if it was not. */
  find(toolCallId: string): CallResult | null {
    const text = this.shelf.getItem(PREFIX + toolCallId);
    return text ? ((JSON.parse(text) as { result: CallResult }).result ?? null) : null;
  }

  /** Carry a call out, unless this browser has done it already; then return what came of it. */
  async once(toolCallId: string, work: () => Promise<CallResult>, now = Date.now()): Promise<CallResult> {
    return await this.exclusive(PREFIX + toolCallId, async () => {
      const before = this.find(toolCallId);
      if (before) return before;
      const result = await work();
      try {
        this.shelf.setItem(PREFIX + toolCallId, JSON.stringify({ result, at: now }));
        this.#forgetOldest();
      } catch {
        // Full or forbidden: the answer is sent all the same.
      }
      return result;
    });
  }

  #forgetOldest(): void {
    const names = Array.from({ length: this.shelf.length }, (_, place) => this.shelf.key(place) ?? "");
    const own = names.filter((name) => name.startsWith(PREFIX));
    if (own.length <= KEPT) return;
    const at = (name: string) => (JSON.parse(this.shelf.getItem(name) ?? "{}") as { at?: number }).at ?? 0;
    own.sort((one, other) => at(one) - at(other));
    for (const name of own.slice(0, own.length - KEPT)) this.shelf.removeItem(name);
  }
}

/** Web Locks where the browser has them (it has them on `https:` and on this machine), else within this window. */
export function browserExclusive(): Exclusive {
  const running = new Map<string, Promise<unknown>>();
  return async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    if (navigator.locks) return (await navigator.locks.request(name, work)) as T;
    const before = running.get(name) ?? Promise.resolve();
    const mine = before.catch(() => undefined).then(work);
    running.set(name, mine);
    return await mine.finally(() => running.get(name) === mine && running.delete(name));
  };
}
