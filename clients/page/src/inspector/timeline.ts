/**
 * What a run spent its time on, from `GET /runs/{runId}` and the run's events.
 *
 * - Queue: from the acceptance to the start in a worker.
 * - Stage: `STEP_STARTED` to `STEP_FINISHED`.
 * - Model call: ends with its message (one call writes one message); `latencyMs` of the message says when it began.
 *   Of a call that is still writing, the beginning is the end of what came before it.
 * - Tool call: from the end of the model call that asked for it to its result.
 * - Subagent: `SUBAGENT_STARTED` to its end; what it does is indented.
 */
import type { BaseEvent } from "@ag-ui/client";
import { isLive, type RunDetails } from "../api/run-details";
import { TimelineBuilder } from "./timeline-builder";

export type SpanKind = "queue" | "stage" | "model" | "tool" | "subagent" | "retry";

export interface Span {
  id: string;
  kind: SpanKind;
  label: string;
  /** Milliseconds since the run was accepted. */
  start: number;
  /** `null`: still going on. */
  end: number | null;
  /** When a model call said its first word. */
  firstToken: number | null;
  state: "done" | "running" | "failed" | "stopped" | "waiting";
  /** 0 for what the run does itself, more for what a subagent does. */
  depth: number;
  /** Id of the span it is part of: a subagent, or the tool call that called one. Empty for the run itself. */
  parent: string;
  facts: [name: string, value: string][];
}

export interface Timeline {
  /** When the run was accepted, in milliseconds since the epoch, by the server's clock. */
  origin: number;
  /** Milliseconds from the acceptance to the end, or to now. */
  length: number;
  /** Milliseconds from the acceptance to the first word of an answer. */
  firstToken: number | null;
  live: boolean;
  spans: Span[];
}

export interface TimelineInput {
  run: RunDetails | null;
  /** Of one run, or of its newest segment; in order. */
  events: readonly BaseEvent[];
  /** Milliseconds since the epoch, by the server's clock. */
  now: number;
  /** Names of tools by the ids of calls that an earlier run made. */
  toolNames?: ReadonlyMap<string, string>;
}

/** `null` as long as nothing is known of the run. */
export function buildTimeline({ run, events, now, toolNames }: TimelineInput): Timeline | null {
  const first = events.find((event) => event.timestamp !== undefined)?.timestamp;
  const accepted = run === null ? first : Math.min(Date.parse(run.createdAt), first ?? Number.POSITIVE_INFINITY);
  if (accepted === undefined) return null;

  const builder = new TimelineBuilder(accepted, toolNames ?? new Map());
  queue(builder, run, first ?? null, accepted);
  for (const event of events) builder.take(event);
  const live = builder.ended === null && (run === null || isLive(run));
  const ended = run?.endedAt === undefined ? builder.ended : Date.parse(run.endedAt) - accepted;
  const end = live ? Math.max(now - accepted, builder.latest) : Math.max(ended ?? 0, builder.latest);
  builder.finish(live, end, run?.status ?? null);
  const told = run?.firstTokenAt === undefined ? builder.firstToken : Date.parse(run.firstTokenAt) - accepted;
  return { origin: accepted, length: Math.max(end, 1), firstToken: told, live, spans: inOrder(builder.spans) };
}

function queue(builder: TimelineBuilder, run: RunDetails | null, first: number | null, accepted: number): void {
  if (run === null) return;
  const started = run.startedAt === undefined ? first : Date.parse(run.startedAt);
  const reason = { worker: "a worker", "earlier-run": "the run before it", approval: "an answer", "client-tool": "the client" };
  builder.spans.push({
    id: "queue",
    kind: "queue",
    label: "Queue",
    start: 0,
    // The service counts in microseconds: its number counts, once it is there.
    end: started === null ? null : (run.queueMs ?? started - accepted),
    firstToken: null,
    state: started === null ? "waiting" : "done",
    depth: 0,
    parent: "",
    facts: run.waitsFor && started === null ? [["Waits for", reason[run.waitsFor]]] : [],
  });
}

const RANK: Record<SpanKind, number> = { queue: 0, stage: 1, retry: 2, model: 3, tool: 4, subagent: 5 };

/** By the start; what contains others stands before them, and what a subagent does stands below it. */
function inOrder(spans: readonly Span[]): Span[] {
  const parts = new Map<string, Span[]>();
  for (const span of spans) parts.set(span.parent, [...(parts.get(span.parent) ?? []), span]);
  const below = (parent: string): Span[] =>
    (parts.get(parent) ?? [])
      .sort((left, right) => left.start - right.start || RANK[left.kind] - RANK[right.kind])
      .flatMap((span) => [span, ...below(span.id)]);
  return below("");
}
