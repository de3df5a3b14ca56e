import { isLive } from "../session/run-view";
import type { ThreadSession } from "../session/types";
import { Spinner } from "../ui/button";
import "./cards.css";

const WORDS: Record<string, string> = { intent: "Understanding", execution: "Working", report: "Writing the answer" };

/** What the live run is doing. */
export function RunProgress({ session }: { session: ThreadSession }) {
  const run = session.run.value;
  if (run === null || !isLive(run)) return null;
  const stage = run.stages.find((one) => one.status === "running");
  const words = run.status === "queued" ? "Waiting for a worker" : stage ? (WORDS[stage.name] ?? stage.name) : "Starting";
  return (
    <p class="run-progress">
      <Spinner label={words} />
      <span aria-hidden="true">{words}</span>
    </p>
  );
}
