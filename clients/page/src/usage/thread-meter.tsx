import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { isMadeUp } from "../api/run-details";
import { getThread, type Usage } from "../api/threads";
import { Problem, type ThreadSession } from "../session/types";
import { count, facts, money, plural, shortCount } from "./format";
import { Meter } from "./meter";

/** What the thread has taken so far: in the header, and in the inspector for phones. Read again when a run begins or ends. */
export function ThreadMeter({ session }: { session: ThreadSession }) {
  const usage = useSignal<Usage | null>(null);
  const run = session.run.value;
  const status = run === null ? "none" : run.status;
  useEffect(() => {
    let isShown = true;
    if (run === null || isMadeUp(run.runId) || session.isGone.value) return;
    getThread(session.threadId).then(
      (thread) => {
        if (isShown) usage.value = thread.usage;
      },
      (error: unknown) => {
        // The line is an extra: what is wrong with the service is said elsewhere.
        if (!(error instanceof Problem)) throw error;
      },
    );
    return () => {
      isShown = false;
    };
  }, [session, run?.runId, status]);

  const known = usage.value;
  if (known === null || known.inputTokens + known.outputTokens === 0) return null;
  return (
    <Meter
      line={facts(`${shortCount(known.inputTokens + known.outputTokens)} tokens`, known.cost !== null && money(known.cost, known.currency))}
      title="What this conversation has used"
      details={details(known)}
    />
  );
}

function details(usage: Usage): [string, string][] {
  const rows: [string, string | null][] = [
    ["Input", plural(usage.inputTokens, "token")],
    ["of them cached", usage.cachedInputTokens > 0 ? count(usage.cachedInputTokens) : null],
    ["Output", plural(usage.outputTokens, "token")],
    ["of them reasoning", usage.reasoningTokens > 0 ? count(usage.reasoningTokens) : null],
    ["Cost", `${money(usage.cost, usage.currency)}${usage.cost !== null && !usage.costComplete ? " and more" : ""}`],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== null);
}
