import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { killProcess, type ProcessName, type ServiceProcess } from "../api/embedded";
import { isLive } from "../session/run-view";
import type { ThreadSession } from "../session/types";
import { model } from "../setup/embedded-mode";
import { Button, Spinner } from "../ui/button";
import { toastError } from "../ui/toast";
import { facts } from "../usage/format";
import { KillWatch } from "./kill-watch";
import { followProcesses, processes } from "./processes";
import { KillTimeline } from "./kill-timeline";
import "./resilience.css";

const WORDS: Record<ProcessName, { title: string; does: string }> = {
  worker: { title: "Worker", does: "Runs the agent. An answer that it was giving ends, and what was said is kept." },
  api: { title: "API", does: "Serves this page. The agent goes on; the page comes back to where it was." },
  redis: { title: "Redis", does: "Carries live events. Postgres has them all, so nothing is missed." },
};
const STATES = { running: "Running", starting: "Starting", down: "Down", elsewhere: "Not ours" } as const;
const DEMO_QUESTION = "slowly";
const QUESTION = "Tell me a story of about 400 words.";

/** Kills processes while an answer streams, and shows what becomes of it. */
export function ResiliencePanel({ session }: { session: ThreadSession }) {
  const watch = useSignal<KillWatch | null>(null);
  const show = (next: KillWatch | null) => {
    watch.peek()?.stop();
    watch.value = next;
  };
  useEffect(() => followProcesses((read) => watch.peek()?.report(read)), []);
  useEffect(() => () => show(null), [session]);
  const isAnswering = isLive(session.run.value);
  const kill = async (name: ProcessName) => {
    try {
      const wasAnswering = isLive(session.run.peek());
      const killed = await killProcess(name);
      show(new KillWatch(session, killed, WORDS[name].title, wasAnswering));
    } catch (error) {
      toastError(error);
    }
  };
  const ask = () => session.send(model.peek()?.source === "demo" ? DEMO_QUESTION : QUESTION).catch(toastError);
  return (
    <div class="resilience">
      <p class="resilience-note">Kill a part of the service while an answer streams, as a crash would. It is started again by itself.</p>
      <p class="resilience-run" role="status">
        {isAnswering ? "An answer is streaming." : "No answer is streaming now."}
        {!isAnswering && (
          <Button onClick={ask}>
            Ask for a long one
          </Button>
        )}
      </p>
      {processes.value.length === 0 ? (
        <Spinner label="Asking for the processes" />
      ) : (
        <ul class="processes">
          {processes.value.map((each) => (
            <ProcessEntry key={each.name} process={each} onKill={() => kill(each.name)} />
          ))}
        </ul>
      )}
      {watch.value && <KillTimeline watch={watch.value} />}
    </div>
  );
}

function ProcessEntry({ process, onKill }: { process: ServiceProcess; onKill(): Promise<void> }) {
  const [isBusy, setBusy] = useState(false);
  const { title, does } = WORDS[process.name];
  const kill = async () => {
    setBusy(true);
    await onKill();
    setBusy(false);
  };
  return (
    <li class={`process ${process.state}`}>
      <div>
        <h3>
          <span class="process-dot" aria-hidden="true" />
          {title}
          <small>{STATES[process.state]}</small>
        </h3>
        <p>{process.reason ?? does}</p>
        {process.startedAt && <p class="process-facts">{lifeOf(process)}</p>}
      </div>
      <Button kind="danger" disabled={process.state !== "running"} busy={isBusy} onClick={kill}>
        Kill<span class="unseen"> {title}</span>
      </Button>
    </li>
  );
}

function lifeOf({ pid, startedAt, restarts = 0 }: ServiceProcess): string {
  const since = new Date(startedAt!).toLocaleTimeString();
  const again = restarts === 0 ? "never restarted" : restarts === 1 ? "restarted once" : `restarted ${restarts} times`;
  return facts(pid ? `process ${pid}` : null, `since ${since}`, again);
}
