import { useSignal } from "@preact/signals";
import { Button } from "../ui/button";
import { count, plural } from "../usage/format";
import { EventDetail } from "./event-detail";
import { EventList } from "./event-list";
import { type EventRow, filterRows, NO_FILTER, rowsOfRun, typeCounts } from "./event-rows";
import { PauseIcon, PlayIcon } from "./icons";
import type { InspectorModel } from "./inspector-model";

/** Raw events as they arrive. */
export function EventsTab({ model }: { model: InspectorModel }) {
  const opened = useSignal<string | null>(null);
  const runId = model.runId.value;
  const all = model.allRuns.value || runId === null ? model.rows.value : rowsOfRun(model.rows.value, runId);
  const filter = model.filter.value;
  const rows = filterRows(all, filter);
  const row = opened.value === null ? undefined : all.find(({ key }) => key === opened.value);
  return (
    <div class="events-tab">
      <Filter model={model} rows={all} />
      <p class="events-count" role="status">
        {rows.length === all.length ? plural(rows.length, "event") : `${count(rows.length)} of ${plural(all.length, "event")}`}
        {model.stopped.value !== null && `, paused: ${count(newSince(model))} new`}
        {all.length > 0 && `, last cursor ${all.at(-1)!.cursor ?? "none"}`}
      </p>
      {model.isIncomplete() && !model.allRuns.value && (
        <div class="events-missing">
          <span>Events of this run are missing here: the page was opened later.</span>
          <Button busy={model.isLoading.value} onClick={() => void model.loadEvents()}>
            Load the run's events
          </Button>
        </div>
      )}
      {rows.length > 0 ? (
        <EventList rows={rows} opened={opened.value} onOpen={(key) => (opened.value = opened.value === key ? null : key)} />
      ) : (
        <p class="inspector-empty">
          {all.length > 0 ? "No event has all of this." : "No events yet. They appear here as they arrive."}
        </p>
      )}
      {row && <EventDetail threadId={model.session.threadId} row={row} onClose={() => (opened.value = null)} />}
    </div>
  );
}

function newSince(model: InspectorModel): number {
  const last = model.stopped.value?.at(-1);
  const entries = model.session.log.entries();
  return last === undefined ? entries.length : entries.length - 1 - entries.lastIndexOf(last);
}

function Filter({ model, rows }: { model: InspectorModel; rows: readonly EventRow[] }) {
  const filter = model.filter.value;
  const isStopped = model.stopped.value !== null;
  const [type = ""] = filter.types;
  const counts = typeCounts(rows);
  if (type !== "" && !counts.some(([known]) => known === type)) counts.push([type, 0]);
  return (
    <div class="events-filter">
      <input
        type="search"
        class="field"
        aria-label="Search in the events"
        placeholder="Search"
        value={filter.text}
        onInput={(event) => (model.filter.value = { ...filter, text: event.currentTarget.value })}
      />
      <select
        class="field"
        aria-label="Type of the events"
        value={type}
        onChange={(event) => {
          const { value } = event.currentTarget;
          model.filter.value = { ...filter, types: value === "" ? NO_FILTER.types : new Set([value]) };
        }}
      >
        <option value="">All types</option>
        {counts.map(([name, number]) => (
          <option key={name} value={name}>
            {`${name} (${count(number)})`}
          </option>
        ))}
      </select>
      <Button
        kind="quiet"
        icon={isStopped ? PlayIcon : PauseIcon}
        onClick={() => (model.stopped.value = isStopped ? null : model.session.log.entries())}
      >
        {isStopped ? "Go on" : "Pause"}
      </Button>
      <label class="events-all">
        <input type="checkbox" checked={model.allRuns.value} onChange={(event) => (model.allRuns.value = event.currentTarget.checked)} />
        All runs
      </label>
    </div>
  );
}
