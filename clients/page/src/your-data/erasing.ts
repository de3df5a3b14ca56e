/**
 * Erases everything of the user, and follows it to its end. The same request begins it, goes on with it and shows how
 * far it is, so an answer that was lost is asked for again.
 */
import { signal } from "@preact/signals";
import { signInWanted } from "../api/http";
import { eraseMe, type Erasure } from "../api/user-data";
import { asProblem, Problem } from "../session/types";

const LOOK_AGAIN_MILLISECONDS = 2_000;

export class Erasing {
  /** `null` until the service has begun. */
  readonly receipt = signal<Erasure | null>(null);
  readonly isAsking = signal(false);
  /** Why it was not begun, or why it is not known how far it is. */
  readonly problem = signal<Problem | null>(null);
  /** The first request was sent, and no answer came: it may have begun. */
  readonly mayHaveBegun = signal(false);

  /** @param onBegun Called once, when the service is known to erase, or to have erased. */
  constructor(private readonly onBegun: () => void) {}

  async ask(): Promise<void> {
    if (this.isAsking.peek()) return;
    this.isAsking.value = true;
    if (this.receipt.peek() === null) this.problem.value = null;
    try {
      this.#take(await eraseMe());
    } catch (error) {
      this.#refused(asProblem(error));
    }
    this.isAsking.value = false;
  }

  #take(told: Erasure): void {
    const before = this.receipt.peek();
    this.receipt.value = told;
    this.problem.value = null;
    if (before === null) this.onBegun();
    if (told.state === "erasing") this.#soon();
  }

  #refused(problem: Problem): void {
    this.mayHaveBegun.value = problem.status === 0 || problem.status >= 500;
    this.problem.value = problem;
    // Of one that is under way, only a lost answer is asked for again: any other refusal comes from its end. A key that
    // was erased with the rest is not valid any more, and who has begun anew has to wait a day.
    if (this.receipt.peek() === null) return;
    signInWanted.value = false;
    if (this.mayHaveBegun.peek()) this.#soon();
  }

  #soon(): void {
    setTimeout(() => void this.ask(), LOOK_AGAIN_MILLISECONDS);
  }
}
