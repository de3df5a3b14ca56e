import { useMemo } from "preact/hooks";
import type { Problem } from "../session/types";
import { RetryIcon } from "../chat/icons";
import { Button } from "../ui/button";
import { AlertIcon } from "../ui/icons";
import { retryTime, useSecondsUntil } from "./countdown";
import "./problem-note.css";

/** Why something that is not about a message did not work, in the service's own words. */
export function Refusal({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  const seconds = useSecondsUntil(useMemo(() => retryTime(problem), [problem]));
  return (
    <div class="problem-note">
      <AlertIcon />
      <div>
        <p role="alert">{problem.message}</p>
        {onRetry && (
          <div class="problem-buttons">
            <Button icon={RetryIcon} onClick={onRetry} disabled={seconds > 0}>
              {seconds > 0 ? `Try again in ${seconds} s` : "Try again"}
            </Button>
          </div>
        )}
      </div>
    </div>
  );
}
