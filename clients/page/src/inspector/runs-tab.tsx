import { Button } from "../ui/button";
import { ThreadMeter } from "../usage/thread-meter";
import { CopyButton } from "../ui/copy-button";
import { clock, count, duration, facts, money } from "../usage/format";
import type { RunDetails } from "../api/run-details";
import type { InspectorModel } from "./inspector-model";
import { RunBadge } from "./run-badge";

/** All runs of the thread, newest first. */
export function RunsTab({ model, onShow }: { model: InspectorModel; onShow(): void }) {
  const runs = model.runs.value;
  if (runs.length === 0) return <p class="inspector-empty">No run yet. Each message starts one.</p>;
  return (
    <div class="runs-tab">
      <ThreadMeter session={model.session} />
      <ol>
        {runs.map((run) => (
          <li key={run.runId}>
            <RunItem
              run={run}
              isShown={run.runId === model.runId.value}
              onShow={() => {
                model.chosenRun.value = run.runId;
                onShow();
              }}
            />
          </li>
        ))}
      </ol>
      {model.olderRuns.value !== null && <Button onClick={() => void model.loadOlderRuns()}>Older runs</Button>}
    </div>
  );
}

function RunItem({ run, isShown, onShow }: { run: RunDetails; isShown: boolean; onShow(): void }) {
  const { usage } = run;
  const cells: [string, string | null][] = [
    ["Queue", time(run.queueMs)],
    ["First token", time(run.ttftMs)],
    ["Model", time(run.modelMs || undefined)],
    ["Tools", time(run.toolMs || undefined)],
    ["Total", time(run.totalMs)],
    ["Tokens", facts(`${count(usage.inputTokens)} in`, `${count(usage.outputTokens)} out`)],
    ["Cost", `${money(usage.cost, usage.currency)}${usage.costComplete ? "" : " and more"}`],
    ["Attempt", run.attempt > 1 ? String(run.attempt) : null],
    ["Agent", run.agentId ?? null],
    ["Error", run.errorCode ?? null],
  ];
  return (
    <article class={`run-item ${isShown ? "shown" : ""}`} aria-current={isShown ? "true" : undefined}>
      <header>
        <RunBadge run={run} />
        <time dateTime={run.createdAt}>{clock(run.createdAt)}</time>
        <CopyButton text={run.runId} label={`Copy the run's id ${run.runId}`} />
        <Button kind="quiet" onClick={onShow} aria-label={`Show the run of ${clock(run.createdAt)}`}>
          Show
        </Button>
      </header>
      <dl>
        {cells.map(
          ([name, value]) =>
            value !== null && (
              <div key={name}>
                <dt>{name}</dt>
                <dd class={name === "Error" ? "bad" : ""}>{value}</dd>
              </div>
            ),
        )}
      </dl>
    </article>
  );
}

function time(ms: number | undefined): string | null {
  return ms === undefined ? null : duration(ms);
}
