import type { ThreadSession } from "../session/types";
import { Button } from "../ui/button";
import { toastError } from "../ui/toast";
import "./cards.css";

/** The open questions of the run, answered all at once. */
export function Interrupts({ session }: { session: ThreadSession }) {
  const open = session.interrupts.value;
  if (open.length === 0) return null;
  const answer = (isApproved: boolean) =>
    session
      .resume(
        open.map(({ id }) =>
          isApproved
            ? { interruptId: id, status: "resolved" as const, payload: { approved: true } }
            : { interruptId: id, status: "cancelled" as const },
        ),
      )
      .catch(toastError);
  return (
    <section class="question-card" aria-label="The assistant asks">
      {open.map((one) => (
        <p key={one.id}>{one.message ?? one.reason}</p>
      ))}
      <div class="question-buttons">
        <Button kind="primary" onClick={() => answer(true)}>
          Approve
        </Button>
        <Button onClick={() => answer(false)}>Decline</Button>
      </div>
    </section>
  );
}
