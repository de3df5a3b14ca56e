/**
 * What the service has not accepted: it stays with its text until it is sent, taken back or thrown away, over reloads
 * too. A message that is on its way is shown by the session; here it is only marked.
 */
import { computed, signal, type ReadonlySignal } from "@preact/signals";
import { retryTime } from "../../problems/countdown";
import { newId } from "../../session/ids";
import { asProblem, Problem, type SendOptions, type ThreadSession, type UserContent } from "../../session/types";

export interface Unsent {
  /** The message's id, the same for every try. */
  id: string;
  content: UserContent;
  problem: Problem;
  /** Milliseconds since the epoch before which another try is refused again; `null` when it may be now. */
  retryAt: number | null;
}

const PREFIX = "agentroute.unsent.";
/** A message with more is not kept over a reload: browsers store a few megabytes in all. */
const MAX_KEPT_CHARACTERS = 200_000;

export class Outbox {
  readonly #failed = signal<readonly Unsent[]>([]);
  readonly #sending = signal<ReadonlyMap<string, UserContent>>(new Map());
  /** Refused messages, oldest first; one that the thread has all the same is not among them. */
  readonly unsent: ReadonlySignal<readonly Unsent[]>;
  readonly #session: ThreadSession;
  readonly #onLine = () => this.#again();

  constructor(session: ThreadSession) {
    this.#session = session;
    this.#failed.value = load(session.threadId);
    this.unsent = computed(() => {
      const failed = this.#failed.value;
      if (failed.length === 0) return failed;
      const there = new Set(session.messages.value.map((message) => message.id));
      return failed.filter(({ id }) => !there.has(id));
    });
  }

  /** Whether a message is on its way. */
  isSending(id: string): boolean {
    return this.#sending.value.has(id);
  }

  /** Send by itself what the network refused, when it is back; returns what ends it. */
  watchNetwork(): () => void {
    addEventListener("online", this.#onLine);
    return () => removeEventListener("online", this.#onLine);
  }

  /** Send a message; a refusal is shown, not thrown. Returns whether it was accepted. */
  async send(content: UserContent, options: SendOptions = {}): Promise<boolean> {
    const id = options.messageId ?? newId("m");
    this.#failed.value = this.#failed.peek().filter((one) => one.id !== id);
    this.#sending.value = new Map(this.#sending.peek()).set(id, content);
    this.#keep();
    try {
      await this.#session.send(content, { ...options, messageId: id });
      return true;
    } catch (error) {
      const problem = asProblem(error);
      this.#failed.value = [...this.#failed.peek(), { id, content, problem, retryAt: retryTime(problem) }];
      return false;
    } finally {
      this.#sending.value = new Map([...this.#sending.peek()].filter(([one]) => one !== id));
      this.#keep();
    }
  }

  async retry(id: string, options: SendOptions = {}): Promise<boolean> {
    const entry = this.#failed.peek().find((one) => one.id === id);
    return entry === undefined ? false : this.send(entry.content, { ...options, messageId: id });
  }

  /** Take a message out, to change it or to forget it. */
  take(id: string): UserContent | null {
    const entry = this.#failed.peek().find((one) => one.id === id);
    this.#failed.value = this.#failed.peek().filter((one) => one.id !== id);
    this.#keep();
    return entry?.content ?? null;
  }

  /** The network is back: what only the network refused is sent, in the order in which it was written. */
  async #again(): Promise<void> {
    for (const { id, problem } of this.unsent.peek()) {
      if (problem.code === "network" && !(await this.retry(id))) return;
    }
  }

  /** Store what has failed and what is on its way: the page may be closed before the service has answered. */
  #keep(): void {
    const failed = this.#failed.peek().map(({ id, content }) => ({ id, content }));
    const kept = [...failed, ...[...this.#sending.peek()].map(([id, content]) => ({ id, content }))];
    try {
      const text = JSON.stringify(kept);
      if (kept.length === 0 || text.length > MAX_KEPT_CHARACTERS) localStorage.removeItem(PREFIX + this.#session.threadId);
      else localStorage.setItem(PREFIX + this.#session.threadId, text);
    } catch {
      // Storage is full, or switched off: the message is kept until the page is closed.
    }
  }
}

function load(threadId: string): Unsent[] {
  try {
    const kept = JSON.parse(localStorage.getItem(PREFIX + threadId) ?? "[]") as Pick<Unsent, "id" | "content">[];
    const problem = new Problem("unsent", "The page was closed before the message was sent.", 0, true);
    return kept.map(({ id, content }) => ({ id, content, problem, retryAt: null }));
  } catch {
    return [];
  }
}
