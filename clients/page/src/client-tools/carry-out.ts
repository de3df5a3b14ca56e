/** Carries out the calls of client tools that a thread leaves open, and answers them in one run. docs/adr/0050 */
import { effect, signal, type Signal } from "@preact/signals";
import { pendingClientCalls, type ToolCallView } from "../cards/tool-calls";
import { factsOf } from "../cards/thread-facts";
import { isObject, parsed } from "../cards/loose-json";
import { perSession } from "../session/per-session";
import { Problem, type ClientTool, type ThreadSession } from "../session/types";
import { browserExclusive, type CallResult, Claims } from "./claims";

/** What this window knows of its own work. */
export interface CarryOutState {
  /** The calls that are being carried out, or answered, here. */
  busy: ReadonlySet<string>;
  /** Why the last answer was refused. */
  problem: string | null;
}

/** Returns those of these calls that have an answer, as the service knows it. */
export type FindAnswered = (threadId: string, callIds: readonly string[]) => Promise<ReadonlySet<string>>;

export class CarryOut {
  readonly state: Signal<CarryOutState> = signal({ busy: new Set<string>(), problem: null });
  readonly #tools: ReadonlyMap<string, ClientTool>;

  constructor(
    private readonly session: ThreadSession,
    tools: readonly ClientTool[],
    private readonly claims: Claims,
    private readonly findAnswered: FindAnswered,
  ) {
    this.#tools = new Map(tools.map((tool) => [tool.name, tool]));
  }

  /** Whether the page has the tool. Other calls wait for another application. */
  canCarryOut(call: ToolCallView): boolean {
    return this.#tools.has(call.name);
  }

  /** Carry out what runs of this page leave open, from now on. Returns a function that ends it. */
  watch(): () => void {
    return effect(() => {
      const facts = factsOf(this.session).value;
      const run = facts.run;
      if (run === null || run.status !== "succeeded" || !this.session.isOwn(run.runId)) return;
      const calls = pendingClientCalls(facts);
      // An answer leads to the next run only if it answers everything: the model waits for all results.
      if (calls.length > 0 && calls.every((call) => this.canCarryOut(call))) queueMicrotask(() => void this.answer(calls));
    });
  }

  /**
   * Carry out calls that the user has asked for here. The page may have heard nothing for a while, as on a phone that has
   * slept: what another device has answered meanwhile is not carried out once more.
   */
  async answerAsked(calls: readonly ToolCallView[]): Promise<void> {
    await this.answer(calls, async () => {
      const answered = await this.findAnswered(this.session.threadId, calls.map(({ id }) => id));
      return calls.filter(({ id }) => !answered.has(id));
    });
  }

  /** Carry out these calls, each once, and answer them; with `stillOpen`, those that it returns. */
  async answer(calls: readonly ToolCallView[], stillOpen?: () => Promise<readonly ToolCallView[]>): Promise<void> {
    const fresh = calls.filter((call) => !this.state.peek().busy.has(call.id));
    if (fresh.length === 0) return;
    this.#set({ busy: new Set([...this.state.peek().busy, ...fresh.map((call) => call.id)]), problem: null });
    try {
      const open = stillOpen ? await stillOpen() : fresh;
      // The calls of another device stay busy: their results are about to be told.
      if (open.length === 0) return;
      const results = await Promise.all(open.map((call) => this.claims.once(call.id, () => this.#run(call))));
      await this.session.answerToolCalls(results);
      // The calls stay busy: the stream tells their results, and nobody is asked to carry them out meanwhile.
    } catch (error) {
      const left = new Set(this.state.peek().busy);
      for (const call of fresh) left.delete(call.id);
      this.#set({ busy: left, problem: words(error) });
    }
  }

  async #run(call: ToolCallView): Promise<CallResult> {
    const args = parsed(call.arguments || "{}");
    const tool = this.#tools.get(call.name);
    try {
      if (!tool) throw new Error(`This page has no tool ${call.name}.`);
      if (!isObject(args)) throw new Error("The arguments must be a JSON object.");
      return { toolCallId: call.id, content: await tool.run(args) };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { toolCallId: call.id, content: `Error: ${message}`, error: message };
    }
  }

  #set(state: CarryOutState): void {
    this.state.value = state;
  }
}

function words(error: unknown): string {
  if (!(error instanceof Problem)) return "The result could not be sent. Try again.";
  if (error.code === "network") return "No connection: the result was not sent. Try again.";
  // Both devices have done the work; the service keeps the first result.
  if (error.code === "run-active" || error.errors.some(({ pointer }) => pointer.endsWith("/toolCallId"))) {
    return "Another device was faster: this result does not count.";
  }
  return error.message;
}

/** Return what carries out the calls of a thread in this window; it begins with the first call of this function. */
export const carryOutOf = perSession((session, tools: readonly ClientTool[], findAnswered: FindAnswered) => {
  const carryOut = new CarryOut(session, tools, new Claims(localStorage, browserExclusive()), findAnswered);
  carryOut.watch();
  return carryOut;
});
