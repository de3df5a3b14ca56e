import { useSignal } from "@preact/signals";
import { useEffect, useId, useMemo } from "preact/hooks";
import type { ThreadSession } from "../session/types";
import { EventsTab } from "./events-tab";
import { InspectorModel } from "./inspector-model";
import { RunHead } from "./run-head";
import { RunsTab } from "./runs-tab";
import { TimelineTab } from "./timeline-tab";
import "./inspector.css";

const TABS = [
  ["timeline", "Timeline"],
  ["events", "Events"],
  ["runs", "Runs"],
] as const;

type Tab = (typeof TABS)[number][0];

/** What happened in the thread, event by event. A chunk of its own: most people never open it. */
export function Inspector({ session }: { session: ThreadSession }) {
  const model = useMemo(() => new InspectorModel(session), [session]);
  useEffect(() => () => model.close(), [model]);
  const tab = useSignal<Tab>("timeline");
  const id = useId();
  const problem = model.problem.value;
  return (
    <div class="inspector">
      <RunHead model={model} />
      <div class="tabs" role="tablist" aria-label="Inspector" onKeyDown={(event) => moveTab(event, tab.value, (to) => (tab.value = to))}>
        {TABS.map(([name, label]) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`${id}-${name}`}
            aria-selected={tab.value === name}
            aria-controls={`${id}-panel`}
            tabIndex={tab.value === name ? 0 : -1}
            onClick={() => (tab.value = name)}
          >
            {label}
          </button>
        ))}
      </div>
      {problem !== null && problem.code !== "events-expired" && (
        <p class="inspector-note" role="alert">
          {problem.message}
        </p>
      )}
      <div class="inspector-tab" role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${tab.value}`}>
        {tab.value === "timeline" && <TimelineTab model={model} />}
        {tab.value === "events" && <EventsTab model={model} />}
        {tab.value === "runs" && <RunsTab model={model} onShow={() => (tab.value = "timeline")} />}
      </div>
    </div>
  );
}

function moveTab(event: KeyboardEvent, from: Tab, to: (tab: Tab) => void): void {
  const at = TABS.findIndex(([name]) => name === from);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1 + TABS.length, Home: 0, End: TABS.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  to(TABS[next % TABS.length]![0]);
  const buttons = (event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("[role=tab]");
  buttons[next % TABS.length]?.focus();
}
