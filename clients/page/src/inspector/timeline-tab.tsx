import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Button } from "../ui/button";
import { FactList } from "../ui/fact-list";
import { count, duration, money } from "../usage/format";
import { isLive } from "../api/run-details";
import type { InspectorModel } from "./inspector-model";
import { buildTimeline, type Span, type Timeline } from "./timeline";
import { kindName, stateName, TimelineChart } from "./timeline-chart";
import { toolNames } from "./tool-names";
import "../ui/data-table.css";
import "./timeline-tab.css";

/** Of a live run the bars grow; more often is not seen. */
const REDRAW_MILLISECONDS = 100;

/** What the shown run spent its time on. */
export function TimelineTab({ model }: { model: InspectorModel }) {
  const active = useSignal<string | null>(null);
  const run = model.run.value;
  const now = useNow(run !== null && isLive(run)) + model.clockDifference.value;
  useMissingEvents(model);
  const events = model.runRows.value.map((row) => row.event);
  const timeline = buildTimeline({ run, events, now, toolNames: toolNames(model.session.messages.value) });
  if (timeline === null) {
    return <p class="inspector-empty">No run yet. Send a message: its run is drawn here while it goes on.</p>;
  }
  const span = timeline.spans.find(({ id }) => id === active.value) ?? null;
  return (
    <div class="timeline-tab">
      <Totals model={model} timeline={timeline} />
      {model.problem.value?.code === "events-expired" && (
        <p class="inspector-note">The events of this run are older than the service keeps them. Its messages and numbers remain.</p>
      )}
      <TimelineChart timeline={timeline} active={active.value} onActive={(id) => (active.value = id)} />
      <Legend timeline={timeline} />
      <Facts span={span} length={timeline.length} />
      <details class="timeline-as-table">
        <summary>The timeline as a table</summary>
        <TimelineTable timeline={timeline} />
      </details>
      {model.isIncomplete() && model.problem.value === null && (
        <Button busy={model.isLoading.value} onClick={() => void model.loadEvents()}>
          Load the run's events
        </Button>
      )}
    </div>
  );
}

/** The browser's clock, which goes on only while something happens. */
function useNow(isRunning: boolean): number {
  const now = useSignal(Date.now());
  useEffect(() => {
    if (!isRunning) return;
    const timer = setInterval(() => (now.value = Date.now()), REDRAW_MILLISECONDS);
    return () => clearInterval(timer);
  }, [isRunning]);
  return isRunning ? Math.max(now.value, 0) : Date.now();
}

/** A timeline needs all events of its run: those that are missing are loaded once. */
function useMissingEvents(model: InspectorModel): void {
  const runId = model.runId.value;
  const isMissing = runId !== null && model.isIncomplete();
  useEffect(() => {
    if (isMissing) void model.loadEvents();
  }, [runId, isMissing]);
}

function Totals({ model, timeline }: { model: InspectorModel; timeline: Timeline }) {
  const run = model.run.value;
  const queue = timeline.spans.find(({ kind }) => kind === "queue");
  const waited = queue === undefined ? null : (queue.end ?? timeline.length) - queue.start;
  const first = run?.ttftMs ?? timeline.firstToken;
  // The service counts in microseconds: its numbers count, once they are there.
  const cells: [string, string][] = [
    ["Queue", waited === null ? "–" : duration(run?.queueMs ?? waited)],
    ["First token", first === null ? "–" : duration(first)],
    ["Model", run === null || timeline.live ? "–" : duration(run.modelMs)],
    ["Tools", run === null || timeline.live ? "–" : duration(run.toolMs)],
    [timeline.live ? "So far" : "Total", duration(run?.totalMs ?? timeline.length)],
  ];
  const usage = run?.usage;
  if (usage && usage.inputTokens + usage.outputTokens > 0) {
    cells.push(["Tokens", count(usage.inputTokens + usage.outputTokens)], ["Cost", money(usage.cost, usage.currency)]);
  }
  return <FactList class="timeline-totals" facts={cells} />;
}

function Legend({ timeline }: { timeline: Timeline }) {
  const kinds = new Set(timeline.spans.map(({ kind }) => kind));
  const shown = (["queue", "stage", "model", "tool", "subagent", "retry"] as const).filter((kind) => kinds.has(kind));
  return (
    <p class="timeline-legend" aria-hidden="true">
      {shown.map((kind) => (
        <span key={kind}>
          <svg width="10" height="10">
            <rect class={`timeline-bar ${kind}`} width="10" height="10" rx="3" />
          </svg>
          {kindName({ kind } as Span)}
        </span>
      ))}
      {timeline.firstToken !== null && (
        <span>
          <svg width="10" height="10">
            <line class="timeline-first" x1="5" x2="5" y1="0" y2="10" />
          </svg>
          First token
        </span>
      )}
    </p>
  );
}

function Facts({ span, length }: { span: Span | null; length: number }) {
  if (span === null) return <p class="timeline-facts hint">Choose a bar to see its details.</p>;
  const end = span.end ?? length;
  const facts: [string, string][] = [
    ["Begins after", duration(span.start)],
    ["Takes", duration(end - span.start)],
    ...span.facts,
  ];
  return (
    <div class="timeline-facts">
      <strong>{[`${kindName(span)}: ${span.label}`, stateName(span)].filter(Boolean).join(", ")}</strong>
      <FactList facts={facts} />
    </div>
  );
}

function TimelineTable({ timeline }: { timeline: Timeline }) {
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="The timeline as a table">
      <table class="data-table">
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col">Name</th>
            <th scope="col" class="number">
              Begins
            </th>
            <th scope="col" class="number">
              Takes
            </th>
            <th scope="col">Details</th>
          </tr>
        </thead>
        <tbody>
          {timeline.spans.map((span) => (
            <tr key={span.id}>
              <td>{kindName(span)}</td>
              <th scope="row">{span.label}</th>
              <td class="number">{duration(span.start)}</td>
              <td class="number">{duration((span.end ?? timeline.length) - span.start)}</td>
              <td>{[stateName(span), ...span.facts.map(([name, value]) => `${name}: ${value}`)].filter(Boolean).join("; ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
