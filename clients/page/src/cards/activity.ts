/** What a run says beside its messages: subagents, progress of tools, retries. Pure, from the events. */
import { type BaseEvent, EventType } from "@ag-ui/client";
import { isObject } from "./loose-json";

export interface SubagentView {
  id: string;
  name: string;
  parentCallId: string | null;
  parentId: string | null;
  status: "running" | "done" | "failed";
  /** Of a failed one. */
  message: string | null;
  /** The steps and tools that it is at. */
  doing: string | null;
}

export interface CallProgress {
  message: string;
  progress: number | null;
  total: number | null;
}

export interface Retry {
  attempt: number;
  code: string | null;
}

export interface Activity {
  runId: string | null;
  subagents: readonly SubagentView[];
  progress: Readonly<Record<string, CallProgress>>;
  /** The model is asked again; `null` as soon as it speaks. */
  retry: Retry | null;
}

export const NO_ACTIVITY: Activity = { runId: null, subagents: [], progress: {}, retry: null };

type Event = BaseEvent & Record<string, unknown>;

/** Return the activity after an event; the same object if the event changes nothing. */
export function afterActivity(before: Activity, given: BaseEvent): Activity {
  const event = given as Event;
  switch (event.type) {
    case EventType.RUN_STARTED:
      // A continued run begins again under its own id, and a client that connects is told of its run once more.
      return event["runId"] === before.runId ? before : { ...NO_ACTIVITY, runId: String(event["runId"]) };
    case EventType.SUBAGENT_STARTED:
      return { ...before, subagents: [...before.subagents.filter((one) => one.id !== idOf(event)), begun(event)] };
    case EventType.SUBAGENT_FINISHED:
      return changed(before, idOf(event), { status: "done", doing: null });
    case EventType.SUBAGENT_ERROR:
      return changed(before, idOf(event), { status: "failed", doing: null, message: text(event["message"]) });
    case EventType.TOOL_CALL_START:
      return working(changed(before, idOf(event), { doing: `uses ${String(event["toolCallName"])}` }));
    case EventType.TEXT_MESSAGE_START:
      return working(changed(before, idOf(event), { doing: "writes" }));
    case EventType.REASONING_START:
      return working(changed(before, idOf(event), { doing: "thinks" }));
    case EventType.RUN_FINISHED:
    case EventType.RUN_ERROR:
      return ended(before);
    case EventType.CUSTOM:
      return afterCustom(before, event);
    default:
      return before;
  }
}

function afterCustom(before: Activity, event: Event): Activity {
  const value = isObject(event["value"]) ? event["value"] : {};
  if (event["name"] === "agentroute.tool-progress" && typeof value["toolCallId"] === "string") {
    const report = { message: text(value["message"]) ?? "", progress: number(value["progress"]), total: number(value["total"]) };
    return { ...before, progress: { ...before.progress, [value["toolCallId"]]: report } };
  }
  if (event["name"] === "agentroute.retrying" && idOf(event) === null) {
    return { ...before, retry: { attempt: number(value["attempt"]) ?? 1, code: text(value["code"]) } };
  }
  return before;
}

function begun(event: Event): SubagentView {
  return {
    id: String(event["subagentRunId"]),
    name: text(event["name"]) ?? "subagent",
    parentCallId: text(event["parentToolCallId"]),
    parentId: text(event["parentSubagentRunId"]),
    status: "running",
    message: null,
    doing: null,
  };
}

function changed(before: Activity, id: string | null, change: Partial<SubagentView>): Activity {
  if (id === null || !before.subagents.some((one) => one.id === id)) return before;
  return { ...before, subagents: before.subagents.map((one) => (one.id === id ? { ...one, ...change } : one)) };
}

/** The model has spoken: nothing is tried again. */
function working(before: Activity): Activity {
  return before.retry === null ? before : { ...before, retry: null };
}

/** An end in the middle, as of a cancelled run, leaves nobody at work. */
function ended(before: Activity): Activity {
  const subagents = before.subagents.map((one) =>
    one.status === "running" ? { ...one, status: "failed" as const, doing: null, message: "It was stopped." } : one,
  );
  return { ...before, subagents, retry: null };
}

function idOf(event: Event): string | null {
  return text(event["subagentRunId"]);
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
