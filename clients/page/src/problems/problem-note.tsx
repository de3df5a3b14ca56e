import type { ComponentChildren } from "preact";
import type { Problem } from "../session/types";
import { Button } from "../ui/button";
import { AlertIcon } from "../ui/icons";
import { RetryIcon } from "../chat/icons";
import { useSecondsUntil } from "./countdown";
import { wordsOf } from "./words";
import "./problem-note.css";

interface ProblemNoteProps {
  problem: Pick<Problem, "code" | "message"> & Partial<Pick<Problem, "status" | "requestId" | "retryable">>;
  /** What is tried again, if anything can be. */
  onRetry?: (() => void) | undefined;
  /** Milliseconds since the epoch before which another try would be refused. */
  retryAt?: number | null;
  /** Further buttons. */
  children?: ComponentChildren;
}

/** Says in words what went wrong and what can be done; the exact refusal is folded. */
export function ProblemNote({ problem, onRetry, retryAt = null, children }: ProblemNoteProps) {
  const { title, advice } = wordsOf(problem);
  const seconds = useSecondsUntil(retryAt);
  return (
    <div class="problem-note">
      <AlertIcon />
      <div>
        <div role="alert">
          <strong>{title}</strong> {advice}
        </div>
        <div class="problem-buttons">
          {onRetry && (
            <Button icon={RetryIcon} onClick={onRetry} disabled={seconds > 0}>
              {seconds > 0 ? `Try again in ${seconds} s` : "Try again"}
            </Button>
          )}
          {children}
        </div>
        <details>
          <summary>Details</summary>
          <p>{problem.message}</p>
          <p>
            <code>{problem.code}</code>
            {problem.requestId && (
              <>
                {" "}
                · request <code>{problem.requestId}</code>
              </>
            )}
          </p>
        </details>
      </div>
    </div>
  );
}
