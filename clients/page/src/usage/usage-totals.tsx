import type { UsageReport } from "../api/usage";
import { count, duration, facts, money, plural } from "./format";

/** The sums of a period. */
export function UsageTotals({ report }: { report: UsageReport<"day"> }) {
  const { totals, transcriptions, currency } = report;
  const speech = transcriptions.totals;
  const tiles: [name: string, value: string, note: string][] = [
    ["Cost", money(totals.cost, currency), unknown(totals.unknownCostCalls)],
    ["Input tokens", count(totals.inputTokens), totals.cachedInputTokens > 0 ? `${count(totals.cachedInputTokens)} from the cache` : ""],
    ["Output tokens", count(totals.outputTokens), totals.reasoningTokens > 0 ? `${count(totals.reasoningTokens)} for reasoning` : ""],
    ["Model calls", count(totals.calls), totals.estimatedCalls > 0 ? `${count(totals.estimatedCalls)} estimated` : ""],
  ];
  if (totals.ttftMs) tiles.push(["First token", duration(totals.ttftMs.p50), `95 %: ${duration(totals.ttftMs.p95)}`]);
  if (totals.latencyMs) tiles.push(["Latency", duration(totals.latencyMs.p50), `95 %: ${duration(totals.latencyMs.p95)}`]);
  if (speech.calls > 0) {
    tiles.push(["Transcriptions", count(speech.calls), facts(duration(speech.audioMs), money(speech.cost, currency))]);
  }
  return (
    <dl class="usage-totals">
      {tiles.map(([name, value, note]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <strong>{value}</strong>
            {note && <span>{note}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function unknown(calls: number): string {
  return calls > 0 ? `and ${plural(calls, "call")} of unknown cost` : "";
}
