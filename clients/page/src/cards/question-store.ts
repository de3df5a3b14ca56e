/** The answers that a user is about to give to a thread's open questions. They are sent together, all at once. */
import type { ReadonlySignal, Signal } from "@preact/signals";
import { computed, signal } from "@preact/signals";
import { perSession } from "../session/per-session";
import type { ThreadSession } from "../session/types";
import { type Draft, emptyDraft, entryOf, isExpired, type Question, questionOf } from "./questions";
import { type ResumeProblem, resumeProblem } from "./resume-problem";

export class QuestionStore {
  readonly questions: ReadonlySignal<readonly Question[]>;
  readonly isSending = signal(false);
  readonly problem: Signal<ResumeProblem | null> = signal(null);
  readonly #drafts = signal<ReadonlyMap<string, Draft>>(new Map());
  /** Questions that were answered: they go with the next event, and cannot be answered twice meanwhile. */
  readonly #answered = signal<ReadonlySet<string>>(new Set());

  constructor(readonly session: ThreadSession) {
    this.questions = computed(() => {
      const messages = session.messages.peek();
      return session.interrupts.value.map((interrupt) => questionOf(interrupt, messages));
    });
  }

  draft(id: string): Draft {
    return this.#drafts.value.get(id) ?? emptyDraft();
  }

  isAnswered(id: string): boolean {
    return this.#answered.value.has(id);
  }

  change(id: string, change: Partial<Draft>): void {
    this.problem.value = null;
    this.#drafts.value = new Map(this.#drafts.peek()).set(id, { ...this.draft(id), ...change });
  }

  /** Decide a question; it is sent at once if no other one is open. */
  async decide(id: string, decision: NonNullable<Draft["decision"]>, now = Date.now()): Promise<void> {
    this.change(id, { decision });
    if (this.questions.peek().length === 1) await this.sendAll(now);
  }

  /** Decide all questions that can be decided without a form, and send if none is left. */
  async decideAll(decision: NonNullable<Draft["decision"]>, now = Date.now()): Promise<void> {
    for (const question of this.questions.peek()) {
      const needsForm = question.kind === "form" || question.kind === "connection";
      if (decision === "decline" || !needsForm) this.change(question.interrupt.id, { decision });
    }
    if (this.undecided(now) === 0) await this.sendAll(now);
  }

  /** How many questions have no answer yet. */
  undecided(now: number): number {
    return this.questions.value.filter((question) => this.#entry(question, now) === null).length;
  }

  async sendAll(now = Date.now()): Promise<void> {
    const questions = this.questions.peek();
    if (questions.every((question) => this.isAnswered(question.interrupt.id))) return;
    const entries = questions.map((question) => this.#entry(question, now));
    if (this.isSending.peek() || entries.length === 0 || entries.includes(null)) return;
    this.isSending.value = true;
    this.problem.value = null;
    try {
      await this.session.resume(entries.filter((entry) => entry !== null));
      this.#answered.value = new Set(questions.map((question) => question.interrupt.id));
    } catch (error) {
      const problem = resumeProblem(error);
      this.problem.value = problem;
      // What was answered elsewhere stays visible as that until the stream tells what came of it.
      if (problem.isOver) this.#answered.value = new Set(questions.map((question) => question.interrupt.id));
      else if (questions.length === 1) this.#undecide(questions[0]!.interrupt.id);
    } finally {
      this.isSending.value = false;
    }
  }

  /** A refused answer is no answer yet; what was written stays. */
  #undecide(id: string): void {
    this.#drafts.value = new Map(this.#drafts.peek()).set(id, { ...this.draft(id), decision: null });
  }

  #entry(question: Question, now: number) {
    return entryOf(question, this.draft(question.interrupt.id), isExpired(question.interrupt, now));
  }
}

export const questionsOf = perSession((session) => new QuestionStore(session));
