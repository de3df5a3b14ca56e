import { clock } from "../usage/format";
import type { RunDetails } from "../api/run-details";
import type { InspectorModel } from "./inspector-model";
import { RunBadge } from "./run-badge";
import { CurlMenu } from "./curl-menu";

/** Which run is shown, and what can be taken to a terminal. */
export function RunHead({ model }: { model: InspectorModel }) {
  const runs = model.runs.value;
  const run = model.run.value;
  return (
    <div class="run-head">
      <select
        class="field"
        aria-label="Run"
        value={model.chosenRun.value ?? ""}
        disabled={runs.length === 0}
        onChange={(event) => (model.chosenRun.value = event.currentTarget.value || null)}
      >
        <option value="">{runs.length === 0 ? "No run yet" : "Newest run"}</option>
        {runs.map((one) => (
          <option key={one.runId} value={one.runId}>
            {runTitle(one)}
          </option>
        ))}
      </select>
      {run !== null && <RunBadge run={run} />}
      <CurlMenu model={model} />
    </div>
  );
}

function runTitle(run: RunDetails): string {
  return `${clock(run.createdAt)}, ${run.status}`;
}
