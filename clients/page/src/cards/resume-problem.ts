/** What went wrong with an answer, for the card that it was given in. */
import { Problem } from "../session/types";

export interface ResumeProblem {
  words: string;
  /** The question is over: it cannot be answered here any more. */
  isOver: boolean;
  /** Complaints by JSON Pointer within `resume`, such as `/resume/0/payload/input/url`. */
  errors: readonly { pointer: string; message: string }[];
}

const OVER: Record<string, string> = {
  "interrupt-resolved": "This was answered in another window.",
  "run-finished": "The run has ended in the meantime.",
  "not-found": "This question does not exist any more.",
};

const WORDS: Record<string, string> = {
  "interrupt-expired": "The time for this answer has run out. Lay the question aside to go on.",
  "interrupt-uncovered": "Another question has come up in the meantime. Answer all of them.",
  "run-active": "The assistant is at work already. Wait a moment, then answer again.",
  network: "No connection: your answer was not sent. Try again.",
};

export function resumeProblem(error: unknown): ResumeProblem {
  if (!(error instanceof Problem)) {
    return { words: "Your answer could not be sent. Try again.", isOver: false, errors: [] };
  }
  const over = OVER[error.code];
  const errors = error.errors;
  const details = errors.length > 0 ? ` ${errors.map(({ message }) => message).join("; ")}.` : "";
  return { words: over ?? WORDS[error.code] ?? `${error.message}${details}`, isOver: over !== undefined, errors };
}

/** Return the complaints about one answer, by pointer within its payload. */
export function complaintsAbout(problem: ResumeProblem | null, place: number): ReadonlyMap<string, string> {
  const prefix = `/resume/${place}/payload`;
  const own = (problem?.errors ?? []).filter(({ pointer }) => pointer === prefix || pointer.startsWith(`${prefix}/`));
  return new Map(own.map(({ pointer, message }) => [pointer.slice(prefix.length), message]));
}
