import type { ThreadSession } from "../session/types";
import { AlertIcon } from "../ui/icons";
import "./cards.css";

/** Why the last run failed. */
export function RunError({ session }: { session: ThreadSession }) {
  const error = session.run.value?.error ?? null;
  if (error === null) return null;
  return (
    <div class="run-error" role="alert">
      <AlertIcon />
      <p>{error.message}</p>
    </div>
  );
}
