/** What is seen of one killed process: when the line broke and came back, when the process was back, what arrived. */
import { effect, signal } from "@preact/signals";
import type { Kill, ServiceProcess } from "../api/embedded";
import { readHistory } from "../api/history";
import { isLive } from "../session/run-view";
import type { ThreadSession } from "../session/types";
import { arrivalsSince, compareTexts, type Arrivals, type Comparison } from "./checks";

export interface Beat {
  /** Milliseconds since the epoch. */
  at: number;
  text: string;
  tone: "bad" | "warn" | "good" | "plain";
}

export interface Verdict extends Arrivals, Comparison {}

const TRIES = 5;
const PAUSE_MILLISECONDS = 1000;

export class KillWatch {
  readonly beats = signal<readonly Beat[]>([]);
  /** Known when the process is back and the answer has ended. */
  readonly verdict = signal<Verdict | null>(null);
  readonly killedAt: number;
  readonly #session: ThreadSession;
  readonly #title: string;
  readonly #kill: Kill;
  readonly #isBack = signal(false);
  readonly #stops: (() => void)[] = [];
  #isLost = false;
  #isJudged = false;

  constructor(session: ThreadSession, kill: Kill, title: string, wasAnswering: boolean) {
    this.#session = session;
    this.#kill = kill;
    this.#title = title;
    // The service runs on this machine: both clocks are one.
    this.killedAt = Date.parse(kill.killedAt);
    this.#note(`${title} killed (process ${kill.pid})`, "bad", this.killedAt);
    if (wasAnswering) this.#stops.push(this.#watchEnd());
    this.#stops.push(this.#watchLine(), this.#watchAll());
  }

  /** Say what the supervisor reports. */
  report(processes: readonly ServiceProcess[]): void {
    const found = processes.find(({ name }) => name === this.#kill.name);
    const last = found?.lastKill;
    if (this.#isBack.peek() || last?.pid !== this.#kill.pid || !last.backAt) return;
    this.#note(`${this.#title} back (process ${found?.pid ?? "?"})`, "good", Date.parse(last.backAt));
    this.#isBack.value = true;
  }

  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  #watchLine(): () => void {
    return effect(() => {
      const state = this.#session.connection.value;
      if (state === "live" && this.#isLost) this.#note("Line back: the page goes on where it was", "good");
      else if (state !== "live" && !this.#isLost) this.#note("Line lost", "warn");
      this.#isLost = state !== "live";
    });
  }

  #watchEnd(): () => void {
    let isOver = false;
    return effect(() => {
      const run = this.#session.run.value;
      if (isOver || isLive(run)) return;
      isOver = true;
      if (run?.status === "failed") this.#note(`Answer ended: ${run.error?.message ?? "it failed"}`, "warn");
      else this.#note("Answer complete", "good");
    });
  }

  /** The verdict comes when nothing more does. */
  #watchAll(): () => void {
    return effect(() => {
      const isSettled = this.#isBack.value && this.#session.connection.value === "live" && !isLive(this.#session.run.value);
      if (!isSettled || this.#isJudged) return;
      this.#isJudged = true;
      void this.#judge();
    });
  }

  async #judge(): Promise<void> {
    for (let tried = 1; tried <= TRIES; tried++) {
      try {
        const { messages } = await readHistory(this.#session.threadId);
        const compared = compareTexts(this.#session.messages.peek(), messages);
        if (compared.isEqual || tried === TRIES) {
          this.verdict.value = { ...arrivalsSince(this.#session.log.entries(), this.killedAt), ...compared };
          return;
        }
      } catch {
        // The service may just be starting again.
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
    }
  }

  #note(text: string, tone: Beat["tone"], at = Date.now()): void {
    this.beats.value = [...this.beats.peek(), { at, text, tone }].sort((one, other) => one.at - other.at);
  }
}
