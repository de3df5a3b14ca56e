import "../ui/data-table.css";
import type { ComponentChildren } from "preact";
import { openDialog } from "../layout/panels";
import type { CallTotals, UsageReport } from "../api/usage";
import { count, duration, money } from "./format";
import { longDay } from "./usage-range";

export function DayTable({ report }: { report: UsageReport<"day"> }) {
  return (
    <UsageTable label="Usage by day" first="Day" currency={report.currency} rows={report.rows.map((row) => ({ key: row.day, name: longDay(row.day), row }))} />
  );
}

export function ModelTable({ report }: { report: UsageReport<"model"> }) {
  const rows = report.rows.map((row) => ({
    key: `${row.provider} ${row.model}`,
    name: (
      <>
        {row.model}
        <small>{row.provider}</small>
      </>
    ),
    row,
  }));
  return <UsageTable label="Usage by model" first="Model" currency={report.currency} rows={rows} />;
}

export function ThreadTable({ report }: { report: UsageReport<"thread"> }) {
  const rows = report.rows.map((row) => ({
    key: row.threadId ?? "",
    name: row.threadId === null ? <em>Deleted conversations</em> : <a href={`#/t/${row.threadId}`} onClick={() => (openDialog.value = null)}>{row.title ?? row.threadId}</a>,
    row,
  }));
  return <UsageTable label="Usage by conversation" first="Conversation" currency={report.currency} rows={rows} />;
}

interface UsageTableProps {
  label: string;
  first: string;
  currency: string;
  rows: readonly { key: string; name: ComponentChildren; row: CallTotals }[];
}

function UsageTable({ label, first, currency, rows }: UsageTableProps) {
  if (rows.length === 0) return <p class="usage-note">No model call in this period.</p>;
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={label}>
      <table class="data-table">
        <thead>
          <tr>
            <th scope="col">{first}</th>
            {["Calls", "Input", "Cached", "Output", "Cost", "First token", "Latency"].map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, name, row }) => (
            <tr key={key}>
              <th scope="row">{name}</th>
              <td class="number">{count(row.calls)}</td>
              <td class="number">{count(row.inputTokens)}</td>
              <td class="number">{count(row.cachedInputTokens)}</td>
              <td class="number">{count(row.outputTokens)}</td>
              <td class="number" title={row.cost ?? undefined}>
                {money(row.cost, currency)}
                {row.cost !== null && row.unknownCostCalls > 0 && " and more"}
              </td>
              <td class="number">{row.ttftMs ? duration(row.ttftMs.p50) : "–"}</td>
              <td class="number">{row.latencyMs ? duration(row.latencyMs.p50) : "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
