/** Turns the events of a run into spans, one event at a time. */
import type { BaseEvent } from "@ag-ui/client";
import { count, duration, money } from "../usage/format";
import type { Span, SpanKind } from "./timeline";

type Body = BaseEvent & Record<string, unknown>;

/** What the run itself, or one of its subagents, is doing. */
interface Scope {
  id: string;
  depth: number;
  /** When the last thing ended: the next model call begins here, until its message says it better. */
  boundary: number;
  model: Span | null;
  /** Whether a model call wrote a message that can end; reasoning alone has no end of the call. */
  writes: boolean;
  /** Tool calls that the model call asks for. */
  asked: Span[];
}

type Place = Pick<Scope, "id" | "depth">;

export class TimelineBuilder {
  readonly spans: Span[] = [];
  /** Milliseconds from the acceptance to the terminal event. */
  ended: number | null = null;
  latest = 0;
  firstToken: number | null = null;
  private at = 0;
  private outcome: Span["state"] = "stopped";
  private readonly scopes = new Map<string, Scope>();
  private readonly stages = new Map<string, Span>();
  private readonly tools = new Map<string, Span>();
  private readonly subagents = new Map<string, Span>();

  constructor(
    private readonly origin: number,
    private readonly toolNames: ReadonlyMap<string, string>,
  ) {
    this.scopes.set("", { id: "", depth: 0, boundary: 0, model: null, writes: false, asked: [] });
  }

  take(event: BaseEvent): void {
    if (event.timestamp !== undefined) this.at = Math.max(event.timestamp - this.origin, 0);
    this.latest = Math.max(this.latest, this.at);
    HANDLERS[event.type]?.(this, event as Body, this.scope(event as Body));
  }

  /** Close what is open: at the run's end, or mark it as going on. */
  finish(live: boolean, end: number, status: string | null): void {
    const main = this.scopes.get("")!;
    const busy = main.model !== null || this.spans.some((span) => span.end === null && span.kind !== "stage");
    if (live && !busy && this.stages.size > 0) this.openModel(main, "Model call");
    if (live) return;
    const state = this.ended === null && status === "failed" ? "failed" : this.outcome;
    for (const span of this.spans) {
      if (span.end !== null) continue;
      span.end = end;
      if (span.state === "running") span.state = state;
    }
  }

  // --- what the handlers use ---------------------------------------------------

  add(kind: SpanKind, id: string, label: string, { id: parent, depth }: Place, start = this.at): Span {
    const open = { end: null, firstToken: null, state: "running" } as const;
    const span: Span = { id, kind, label, parent, depth, start, ...open, facts: [] };
    this.spans.push(span);
    return span;
  }

  close(span: Span | null | undefined, state: Span["state"] = "done", at = this.at): void {
    if (!span || span.end !== null) return;
    span.end = Math.max(at, span.start);
    span.state = state;
  }

  openModel(scope: Scope, label = "Model call"): Span {
    scope.model ??= this.add("model", `model-${this.spans.length}`, label, scope, scope.boundary);
    return scope.model;
  }

  said(scope: Scope): void {
    const model = this.openModel(scope);
    model.firstToken ??= this.at;
    this.firstToken ??= this.at;
  }

  closeModel(scope: Scope, metadata: Record<string, unknown> = {}): void {
    const model = scope.model;
    scope.boundary = this.at;
    scope.writes = false;
    if (model === null) return;
    const latency = metadata.latencyMs;
    if (typeof latency === "number") model.start = Math.max(this.at - latency, 0);
    model.facts.push(...modelFacts(model, metadata));
    if (typeof metadata.model === "string") model.label = metadata.model;
    this.close(model, metadata.incomplete === true ? "stopped" : "done");
    scope.model = null;
    // Tools begin when the whole call is written, not when their own arguments are.
    for (const tool of scope.asked.splice(0)) if (tool.end === null) tool.start = this.at;
  }

  private scope(event: Body): Scope {
    return this.scopes.get(text(event, "subagentRunId")) ?? this.scopes.get("")!;
  }

  readonly on = {
    stageStarted: (event: Body, scope: Scope): void => {
      const name = text(event, "stepName");
      const key = text(event, "subagentRunId") + name;
      // The opening of a stream may tell it again.
      if (!this.stages.has(key)) this.stages.set(key, this.add("stage", `stage-${this.spans.length}`, name, scope));
      scope.boundary = this.at;
    },
    stageEnded: (event: Body, scope: Scope): void => {
      const key = text(event, "subagentRunId") + text(event, "stepName");
      this.close(this.stages.get(key));
      this.stages.delete(key);
      scope.boundary = this.at;
    },
    subagentStarted: (event: Body): void => {
      const id = text(event, "subagentRunId");
      if (this.subagents.has(id)) return;
      // It is opened by its parent's tool call, whose scope decides how deep it is.
      const parent = this.tools.get(text(event, "parentToolCallId"));
      const place = { id: parent?.id ?? "", depth: parent === undefined ? 0 : parent.depth + 1 };
      const span = this.add("subagent", id, text(event, "name") || "Subagent", place);
      if (typeof event.description === "string") span.facts.push(["Description", event.description]);
      this.subagents.set(id, span);
      this.scopes.set(id, { id, depth: span.depth + 1, boundary: this.at, model: null, writes: false, asked: [] });
    },
    subagentEnded: (event: Body): void => {
      const id = text(event, "subagentRunId");
      const span = this.subagents.get(id);
      const scope = this.scopes.get(id);
      if (scope) this.closeModel(scope);
      if (span && typeof event.code === "string") span.facts.push(["Error", `${event.code}: ${text(event, "message")}`]);
      this.close(span, event.type === "SUBAGENT_ERROR" ? "failed" : "done");
    },
    toolStarted: (event: Body, scope: Scope): void => {
      this.said(scope);
      const id = text(event, "toolCallId");
      if (this.tools.has(id)) return;
      const span = this.add("tool", `tool-${id}`, text(event, "toolCallName") || "Tool call", scope);
      this.tools.set(id, span);
      scope.asked.push(span);
    },
    toolWritten: (event: Body, scope: Scope): void => {
      const span = this.tools.get(text(event, "toolCallId"));
      if (!span) return;
      span.facts.push(["Arguments written in", duration(this.at - span.start)]);
      span.start = this.at;
      if (!scope.writes) this.closeModel(scope);
    },
    toolAnswered: (event: Body, scope: Scope): void => {
      const id = text(event, "toolCallId");
      const metadata = (event.metadata ?? {}) as Record<string, unknown>;
      let span = this.tools.get(id);
      if (!span) {
        // A call of an earlier run, which a user has answered meanwhile.
        span = this.add("tool", `tool-${id}`, this.toolNames.get(id) ?? "Tool call", scope, scope.boundary);
        this.tools.set(id, span);
      }
      if (scope.model !== null && span.end === null && span.start >= scope.model.start) this.closeModel(scope);
      const state = metadata.state === "error" ? "failed" : metadata.state === undefined ? "done" : "stopped";
      if (typeof metadata.state === "string") span.facts.push(["Outcome", metadata.state]);
      span.facts.push(["Result", `${count(text(event, "content").length)} characters`]);
      this.close(span, state);
      scope.boundary = Math.max(scope.boundary, this.at);
    },
    custom: (event: Body, scope: Scope): void => {
      const value = (event.value ?? {}) as Record<string, unknown>;
      if (event.name === "agentroute.retrying") {
        const span = this.add("retry", `retry-${this.spans.length}`, `Retry: ${String(value.code)}`, scope);
        span.facts.push(["Attempt", String(value.attempt)], ["Because of", String(value.code)]);
        this.close(span, "failed", this.at + (Number(value.delayMs) || 0));
        scope.boundary = span.end!;
      } else if (event.name === "agentroute.tool-progress") {
        const span = this.tools.get(String(value.toolCallId));
        if (!span || typeof value.message !== "string") return;
        span.facts = [...span.facts.filter(([name]) => name !== "Progress"), ["Progress", value.message]];
      }
    },
    runEnded: (event: Body): void => {
      this.ended = this.at;
      const outcome = (event.outcome ?? {}) as {
        type?: string;
        interrupts?: { toolCallId?: string }[];
        pendingToolCallIds?: string[];
      };
      this.outcome = event.type === "RUN_ERROR" ? "failed" : outcome.type === "cancelled" ? "stopped" : "done";
      const questions = (outcome.interrupts ?? []).map((open) => open.toolCallId ?? "");
      for (const id of questions) this.waits(id, "Waits for the user's answer");
      for (const id of outcome.pendingToolCallIds ?? []) this.waits(id, "Waits for the client");
    },
  };

  private waits(toolCallId: string, reason: string): void {
    const span = this.tools.get(toolCallId);
    if (!span || span.end !== null) return;
    span.facts.push(["State", reason]);
    this.close(span, "waiting");
  }
}

type Handler = (builder: TimelineBuilder, event: Body, scope: Scope) => void;

const writes: Handler = (builder, _event, scope) => {
  builder.openModel(scope);
  scope.writes = true;
};
const thinks: Handler = (builder, _event, scope) => void builder.openModel(scope);
const says: Handler = (builder, _event, scope) => builder.said(scope);

const HANDLERS: Partial<Record<string, Handler>> = {
  STEP_STARTED: (builder, event, scope) => builder.on.stageStarted(event, scope),
  STEP_FINISHED: (builder, event, scope) => builder.on.stageEnded(event, scope),
  REASONING_START: thinks,
  REASONING_MESSAGE_CONTENT: says,
  TEXT_MESSAGE_START: writes,
  TEXT_MESSAGE_CONTENT: says,
  TEXT_MESSAGE_END: (builder, event, scope) =>
    builder.closeModel(scope, (event.metadata ?? {}) as Record<string, unknown>),
  TOOL_CALL_START: (builder, event, scope) => builder.on.toolStarted(event, scope),
  TOOL_CALL_END: (builder, event, scope) => builder.on.toolWritten(event, scope),
  TOOL_CALL_RESULT: (builder, event, scope) => builder.on.toolAnswered(event, scope),
  SUBAGENT_STARTED: (builder, event) => builder.on.subagentStarted(event),
  SUBAGENT_FINISHED: (builder, event) => builder.on.subagentEnded(event),
  SUBAGENT_ERROR: (builder, event) => builder.on.subagentEnded(event),
  CUSTOM: (builder, event, scope) => builder.on.custom(event, scope),
  RUN_FINISHED: (builder, event) => builder.on.runEnded(event),
  RUN_ERROR: (builder, event) => builder.on.runEnded(event),
};

function text(event: Body, name: string): string {
  const value = event[name];
  return typeof value === "string" ? value : "";
}

function modelFacts(model: Span, metadata: Record<string, unknown>): [string, string][] {
  const found: [string, string][] = [];
  const number = (name: string) => (typeof metadata[name] === "number" ? (metadata[name] as number) : null);
  const first = number("ttftMs") ?? (model.firstToken === null ? null : model.firstToken - model.start);
  if (first !== null) found.push(["First token after", duration(first)]);
  const [input, output] = [number("inputTokens"), number("outputTokens")];
  if (input !== null) found.push(["Input tokens", count(input)]);
  if (output !== null) found.push(["Output tokens", count(output)]);
  if (typeof metadata.cost === "string") found.push(["Cost", money(metadata.cost, String(metadata.currency ?? "USD"))]);
  if (typeof metadata.finishReason === "string") found.push(["Finish reason", metadata.finishReason]);
  return found;
}
