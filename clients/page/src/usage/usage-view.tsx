import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { readUsage, type UsageReport } from "../api/usage";
import { Problem } from "../session/types";
import { Button, Spinner } from "../ui/button";
import { dayBars, type Metric, PARTS } from "./day-bars";
import { DayChart } from "./day-chart";
import { count, money, shortCount } from "./format";
import { RangeChoice } from "./range-choice";
import { lastDays, rangeProblem, type UsageRange } from "./usage-range";
import { DayTable, ModelTable, ThreadTable } from "./usage-tables";
import { UsageTotals } from "./usage-totals";
import "./usage-view.css";

interface Loaded {
  range: UsageRange;
  day: UsageReport<"day">;
  model: UsageReport<"model">;
  thread: UsageReport<"thread">;
}

/** What the user's runs have used in a period. A chunk of its own. */
export function UsageView() {
  const range = useSignal(lastDays(30, Date.now()));
  const loaded = useSignal<Loaded | null>(null);
  const problem = useSignal<Problem | null>(null);
  const tries = useSignal(0);
  const { from, to } = range.value;
  useEffect(() => {
    if (rangeProblem({ from, to }) !== null) return;
    const controller = new AbortController();
    problem.value = null;
    load({ from, to }, controller.signal).then(
      (report) => (loaded.value = report),
      (error: unknown) => {
        if (!controller.signal.aborted) problem.value = error instanceof Problem ? error : new Problem("unknown", String(error), 0, false);
      },
    );
    return () => controller.abort();
  }, [from, to, tries.value]);

  const report = loaded.value;
  return (
    <div class="usage">
      <RangeChoice range={range.value} onChange={(next) => (range.value = next)} />
      {problem.value !== null ? (
        <div class="usage-empty" role="alert">
          <p>{problem.value.message}</p>
          <Button onClick={() => tries.value++}>Try again</Button>
        </div>
      ) : report === null ? (
        <div class="usage-empty">
          <Spinner label="Loading the usage" />
        </div>
      ) : report.day.totals.calls + report.day.transcriptions.totals.calls === 0 ? (
        <div class="usage-empty">
          <p>Nothing was used in this period.</p>
          <p>Every answer counts here: its tokens, its cost and its time.</p>
        </div>
      ) : (
        <Report loaded={report} />
      )}
    </div>
  );
}

async function load(range: UsageRange, signal: AbortSignal): Promise<Loaded> {
  const [day, model, thread] = await Promise.all([
    readUsage("day", range.from, range.to, signal),
    readUsage("model", range.from, range.to, signal),
    readUsage("thread", range.from, range.to, signal),
  ]);
  return { range, day, model, thread };
}

const METRICS: [Metric, string][] = [
  ["cost", "Cost"],
  ["tokens", "Tokens"],
  ["calls", "Calls"],
];

function Report({ loaded }: { loaded: Loaded }) {
  const { day, model, thread, range } = loaded;
  const costs = Number(day.totals.cost ?? 0) > 0;
  const chosen = useSignal<Metric | null>(null);
  // A model without a price has no cost to draw.
  const metric = chosen.value ?? (costs ? "cost" : "tokens");
  const format = metric === "cost" ? (value: number) => money(String(value), day.currency) : shortCount;
  return (
    <>
      <UsageTotals report={day} />
      <section class="usage-part" aria-labelledby="usage-by-day">
        <header>
          <h3 id="usage-by-day">By day</h3>
          <fieldset class="choice">
            <legend class="unseen">What the chart shows</legend>
            {METRICS.map(([name, label]) => (
              <label key={name}>
                <input type="radio" name="usage-metric" checked={metric === name} onChange={() => (chosen.value = name)} />
                {label}
              </label>
            ))}
          </fieldset>
        </header>
        <DayChart bars={dayBars(range, day.rows, metric)} metric={metric} format={format} />
        {PARTS[metric].length > 1 && (
          <p class="usage-keys" aria-hidden="true">
            {PARTS[metric].map((name, index) => (
              <span key={name}>
                <i class={`usage-key part-${index}`} />
                {name}
              </span>
            ))}
          </p>
        )}
        <details>
          <summary>The days as a table</summary>
          <DayTable report={day} />
        </details>
      </section>
      <section class="usage-part" aria-labelledby="usage-by-model">
        <h3 id="usage-by-model">By model</h3>
        <ModelTable report={model} />
      </section>
      <section class="usage-part" aria-labelledby="usage-by-thread">
        <h3 id="usage-by-thread">By conversation</h3>
        <ThreadTable report={thread} />
        {thread.truncated && <p class="usage-note">The {count(thread.rows.length)} with the highest cost are shown.</p>}
      </section>
      <p class="usage-note">Days are in UTC.</p>
    </>
  );
}
