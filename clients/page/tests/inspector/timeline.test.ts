import { readdirSync, readFileSync } from "node:fs";
import type { BaseEvent } from "@ag-ui/client";
import { describe, expect, it } from "vitest";
import type { RunDetails } from "../../src/api/run-details";
import { buildTimeline, type Timeline } from "../../src/inspector/timeline";
import { bar, ticks, tickStep } from "../../src/inspector/timeline-scale";

const T0 = Date.parse("2026-11-27T19:00:00Z");
const USAGE = {
  inputTokens: 0,
  outputTokens: 0,
  cachedInputTokens: 0,
  reasoningTokens: 0,
  cost: "0",
  costComplete: true,
  currency: "USD",
};

function run(members: Partial<RunDetails> = {}): RunDetails {
  return {
    threadId: "t",
    runId: "r",
    status: "succeeded",
    attempt: 1,
    cancelRequested: false,
    createdAt: new Date(T0).toISOString(),
    startedAt: new Date(T0 + 20).toISOString(),
    modelMs: 0,
    toolMs: 0,
    usage: USAGE,
    ...members,
  };
}

/** Events as `[milliseconds since the acceptance, type, members]`. */
function events(...rows: [number, string, Record<string, unknown>?][]): BaseEvent[] {
  return rows.map(([at, type, members]) => ({ type, timestamp: T0 + at, ...members }) as unknown as BaseEvent);
}

/** `kind label start-end state`, indented by depth. */
function drawn(timeline: Timeline | null): string[] {
  return timeline!.spans.map(
    (span) => `${"  ".repeat(span.depth)}${span.kind} ${span.label} ${span.start}-${span.end ?? ""} ${span.state}`,
  );
}

const TWO_CALLS = events(
  [20, "RUN_STARTED", { runId: "r" }],
  [25, "STEP_STARTED", { stepName: "execution" }],
  [110, "TEXT_MESSAGE_START", { messageId: "m-1" }],
  [110, "TOOL_CALL_START", { toolCallId: "c-1", toolCallName: "calculate", parentMessageId: "m-1" }],
  [140, "TOOL_CALL_START", { toolCallId: "c-2", toolCallName: "current_time", parentMessageId: "m-1" }],
  [150, "TOOL_CALL_END", { toolCallId: "c-1" }],
  [160, "TOOL_CALL_END", { toolCallId: "c-2" }],
  [160, "TEXT_MESSAGE_END", { messageId: "m-1", metadata: { model: "demo", latencyMs: 130, ttftMs: 80 } }],
  [170, "TOOL_CALL_RESULT", { toolCallId: "c-1", content: "42" }],
  [400, "TOOL_CALL_RESULT", { toolCallId: "c-2", content: "no", metadata: { state: "error" } }],
  [450, "TEXT_MESSAGE_START", { messageId: "m-2" }],
  [450, "TEXT_MESSAGE_CONTENT", { messageId: "m-2", delta: "So" }],
  [900, "TEXT_MESSAGE_END", { messageId: "m-2", metadata: { model: "demo", latencyMs: 490, cost: "0.00042" } }],
  [900, "STEP_FINISHED", { stepName: "execution" }],
  [905, "RUN_FINISHED", { outcome: { type: "success" } }],
);

describe("the timeline of a run", () => {
  it("has the queue, the stage, each model call and each tool call", () => {
    const ended = run({ endedAt: new Date(T0 + 920).toISOString(), firstTokenAt: new Date(T0 + 110).toISOString() });
    const timeline = buildTimeline({ run: ended, events: TWO_CALLS, now: T0 + 99_999 });
    expect(drawn(timeline)).toEqual([
      "queue Queue 0-20 done",
      "stage execution 25-900 done",
      "model demo 30-160 done",
      "tool calculate 160-170 done",
      "tool current_time 160-400 failed",
      "model demo 410-900 done",
    ]);
    expect([timeline!.length, timeline!.firstToken, timeline!.live]).toEqual([920, 110, false]);
    expect(timeline!.spans[2]!.facts).toContainEqual(["First token after", "80 ms"]);
    expect(timeline!.spans[5]!.facts).toContainEqual(["Cost", "$0.00042"]);
  });

  it("grows while the run goes on", () => {
    const live = run({ status: "running" });
    const at = (seen: number, now: number) => drawn(buildTimeline({ run: live, events: TWO_CALLS.slice(0, seen), now: T0 + now }));
    expect(at(2, 60)).toEqual(["queue Queue 0-20 done", "stage execution 25- running", "model Model call 25- running"]);
    expect(at(4, 120).slice(2)).toEqual(["model Model call 25- running", "tool calculate 110- running"]);
    expect(at(8, 165).slice(2)).toEqual([
      "model demo 30-160 done",
      "tool calculate 160- running",
      "tool current_time 160- running",
    ]);
    expect(at(12, 700).at(-1)).toBe("model Model call 400- running");
    expect(buildTimeline({ run: live, events: TWO_CALLS.slice(0, 12), now: T0 + 700 })!.length).toBe(700);
  });

  it("shows a run that waits for a worker, or for its turn", () => {
    const { startedAt: _, ...waiting } = run({ status: "waiting", waitsFor: "earlier-run" });
    const timeline = buildTimeline({ run: waiting, events: [], now: T0 + 3000 })!;
    expect(drawn(timeline)).toEqual(["queue Queue 0- waiting"]);
    expect([timeline.length, timeline.live, timeline.spans[0]!.facts]).toEqual([3000, true, [["Waits for", "the run before it"]]]);
    expect(buildTimeline({ run: null, events: [], now: T0 })).toBeNull();
  });

  it("puts what subagents do below them", () => {
    const timeline = buildTimeline({
      run: run(),
      now: T0,
      events: events(
        [20, "RUN_STARTED"],
        [30, "TOOL_CALL_START", { toolCallId: "c-1", toolCallName: "ask_a" }],
        [40, "TOOL_CALL_END", { toolCallId: "c-1" }],
        [41, "TOOL_CALL_START", { toolCallId: "c-2", toolCallName: "ask_b" }],
        [42, "TOOL_CALL_END", { toolCallId: "c-2" }],
        [50, "SUBAGENT_STARTED", { subagentRunId: "s-1", name: "a", parentToolCallId: "c-1" }],
        [51, "SUBAGENT_STARTED", { subagentRunId: "s-2", name: "b", parentToolCallId: "c-2" }],
        [60, "TEXT_MESSAGE_START", { messageId: "x", subagentRunId: "s-1" }],
        [61, "TEXT_MESSAGE_START", { messageId: "y", subagentRunId: "s-2" }],
        [80, "TEXT_MESSAGE_END", { messageId: "x", subagentRunId: "s-1" }],
        [90, "SUBAGENT_ERROR", { subagentRunId: "s-2", code: "model-timeout", message: "Too slow." }],
        [95, "SUBAGENT_FINISHED", { subagentRunId: "s-1" }],
        [99, "RUN_FINISHED", { outcome: { type: "success" } }],
      ),
    });
    expect(drawn(timeline).slice(1)).toEqual([
      "model Model call 0-40 done",
      "model Model call 40-42 done",
      "tool ask_a 40-99 done",
      "  subagent a 50-95 done",
      "    model Model call 50-80 done",
      "tool ask_b 42-99 done",
      "  subagent b 51-90 failed",
      "    model Model call 51-90 done",
    ]);
    expect(timeline!.spans.at(-2)!.facts).toContainEqual(["Error", "model-timeout: Too slow."]);
  });

  it("shows retries, and what waits for the user", () => {
    const timeline = buildTimeline({
      run: run({ status: "interrupted" }),
      now: T0,
      events: events(
        [20, "RUN_STARTED"],
        [25, "STEP_STARTED", { stepName: "execution" }],
        [50, "CUSTOM", { name: "agentroute.retrying", value: { attempt: 2, delayMs: 500, code: "model-timeout" } }],
        [600, "TEXT_MESSAGE_START", { messageId: "m" }],
        [600, "TOOL_CALL_START", { toolCallId: "c", toolCallName: "pay" }],
        [640, "TOOL_CALL_END", { toolCallId: "c" }],
        [650, "TEXT_MESSAGE_END", { messageId: "m" }],
        [655, "STEP_FINISHED", { stepName: "execution" }],
        [660, "RUN_FINISHED", { outcome: { type: "interrupt", interrupts: [{ id: "i", toolCallId: "c" }] } }],
      ),
    });
    expect(drawn(timeline).slice(2)).toEqual([
      "retry Retry: model-timeout 50-550 failed",
      "model Model call 550-650 done",
      "tool pay 650-660 waiting",
    ]);
    expect(timeline!.spans.at(-1)!.facts).toContainEqual(["State", "Waits for the user's answer"]);
  });

  it("names a call that an earlier run made and a user has approved", () => {
    const resumed = events(
      [20, "RUN_STARTED"],
      [25, "STEP_STARTED", { stepName: "execution" }],
      [90, "TOOL_CALL_RESULT", { toolCallId: "c-0", content: "paid" }],
    );
    const names = new Map([["c-0", "pay"]]);
    const timeline = buildTimeline({ run: run({ status: "running" }), events: resumed, now: T0 + 95, toolNames: names });
    expect(drawn(timeline).slice(2)).toEqual(["tool pay 25-90 done", "model Model call 90- running"]);
  });

  it("closes what a failed or cancelled run left open", () => {
    const open = TWO_CALLS.slice(0, 12);
    const failed = buildTimeline({ run: run({ status: "failed" }), now: T0, events: [...open, ...events([500, "RUN_ERROR"])] });
    expect(drawn(failed).slice(-1)).toEqual(["model Model call 400-500 failed"]);
    const cut = events([500, "RUN_FINISHED", { outcome: { type: "cancelled" } }]);
    const cancelled = buildTimeline({ run: run({ status: "cancelled" }), now: T0, events: [...open, ...cut] });
    expect(drawn(cancelled).slice(-1)).toEqual(["model Model call 400-500 stopped"]);
  });

  const folder = new URL("../../../../backend/tests/recorded/streams/", import.meta.url);
  it.each(readdirSync(folder))("of the recorded stream %s is whole at every moment", (name) => {
    const { frames } = JSON.parse(readFileSync(new URL(name, folder), "utf8")) as { frames: string[] };
    const all = frames.map((frame) => JSON.parse(/^data: (.*)$/m.exec(frame)![1]!) as BaseEvent);
    const started = all[0]?.timestamp ?? T0;
    for (let seen = 1; seen <= all.length; seen++) {
      const seenEvents = all.slice(0, seen);
      const timeline = buildTimeline({ run: null, events: seenEvents, now: started + 10_000_000 })!;
      const ended = ["RUN_FINISHED", "RUN_ERROR"].includes(seenEvents.at(-1)!.type);
      expect(timeline.live).toBe(!ended);
      expect(new Set(timeline.spans.map((span) => span.id)).size).toBe(timeline.spans.length);
      for (const span of timeline.spans) {
        expect(span.start).toBeGreaterThanOrEqual(0);
        if (ended) expect(span.end).not.toBeNull();
        if (span.end !== null) expect(span.end).toBeGreaterThanOrEqual(span.start);
      }
      const calls = new Set(seenEvents.filter((event) => event.type === "TOOL_CALL_START").map((event) => (event as unknown as { toolCallId: string }).toolCallId));
      for (const id of calls) expect(timeline.spans.some((span) => span.id === `tool-${id}`)).toBe(true);
    }
  });
});

describe("the axis", () => {
  it.each([
    [2359, 6, 500],
    [90, 6, 20],
    [5, 6, 1],
    [59_000, 6, 10_000],
    [240_000, 6, 60_000],
    [7_200_000, 5, 1_800_000],
    [86_400_000, 4, 21_600_000],
  ])("of %d ms with at most %d ticks has a step of %d ms", (length, most, step) => {
    expect(tickStep(length, most)).toBe(step);
  });

  it("writes round numbers", () => {
    expect(ticks(2359, 432).map((tick) => tick.label)).toEqual(["0", "500 ms", "1 s", "1.5 s", "2 s"]);
    expect(ticks(240_000, 432).map((tick) => tick.label)).toEqual(["0", "1 min", "2 min", "3 min", "4 min"]);
  });

  it("draws every bar within the chart", () => {
    expect(bar(0, 500, 1000, 400)).toEqual({ x: 0, width: 200 });
    expect(bar(1000, 1000, 1000, 400)).toEqual({ x: 398, width: 2 });
    expect(bar(500, 500, 1000, 400)).toEqual({ x: 200, width: 2 });
  });
});
