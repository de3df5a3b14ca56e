/**
 * What this page has sent and the stream has not told yet: shown at once, and handed to the official client when the
 * run begins. What other pages have sent comes as `agentroute.input`, right behind the beginning of its run.
 */
import type { Message } from "@ag-ui/client";
import { INPUT_EVENT, type RunInput } from "@agentroute/client";
import { signal } from "@preact/signals";

export interface OwnRun {
  runId: string;
  /** The messages of its request. */
  messages: readonly Message[];
  /** The run replaces this message and all after it; with `keeps`, all after it only. */
  replaces?: { messageId: string; keeps: boolean };
  /** The shared state that it was sent with. */
  state?: { value: unknown };
}

const begunHere = new Set<string>();

/** Whether this page has begun a run since it was loaded, in whatever session. */
export function isBegunHere(runId: string): boolean {
  return begunHere.has(runId);
}

export class OwnRuns {
  /** The messages whose runs have not begun. */
  readonly messageIds = signal<ReadonlySet<string>>(new Set());
  #runs: readonly OwnRun[] = [];

  add(run: OwnRun): void {
    this.#set([...this.#runs, run]);
    begunHere.add(run.runId);
  }

  /** Whether the run has not begun, as far as the stream has told. */
  awaits(runId: string): boolean {
    return this.#runs.some((run) => run.runId === runId);
  }

  /** The run was refused, or has begun. Returns it, if it was one of ours. */
  take(runId: string): OwnRun | undefined {
    const run = this.#runs.find((one) => one.runId === runId);
    if (run) this.#set(this.#runs.filter((one) => one !== run));
    return run;
  }

  #set(runs: readonly OwnRun[]): void {
    this.#runs = runs;
    this.messageIds.value = new Set(runs.flatMap(({ messages }) => messages.map(({ id }) => id)));
  }

  /** Return messages as they will be when all of these runs have begun. */
  applied(messages: readonly Message[]): readonly Message[] {
    return this.#runs.reduce(withRun, messages);
  }
}

/** Read what a run was asked, which a followed thread tells of every run (docs/clients.md); `null` for other events. */
export function inputOf({ name, value }: { name: string; value?: unknown }): OwnRun | null {
  if (name !== INPUT_EVENT) return null;
  const { runId, messages, regenerateFrom } = value as RunInput;
  return { runId, messages, ...(regenerateFrom && { replaces: { messageId: regenerateFrom, keeps: false } }) };
}

/** Return a conversation with what a run was started with. */
export function withRun(messages: readonly Message[], run: OwnRun): readonly Message[] {
  const kept = run.replaces ? before(messages, run.replaces) : messages;
  const held = new Set(kept.map((message) => message.id));
  const missing = run.messages.filter((message) => !held.has(message.id));
  return missing.length > 0 ? [...kept, ...missing] : kept;
}

function before(messages: readonly Message[], { messageId, keeps }: NonNullable<OwnRun["replaces"]>) {
  const place = messages.findIndex((message) => message.id === messageId);
  return place < 0 ? messages : messages.slice(0, keeps ? place + 1 : place);
}
