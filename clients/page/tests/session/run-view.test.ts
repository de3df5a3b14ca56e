import type { BaseEvent } from "@ag-ui/client";
import { expect, it } from "vitest";
import { afterEnd, afterEvent, isLive } from "../../src/session/run-view";
import type { RunView } from "../../src/session/types";

const fold = (...events: object[]) => (events as BaseEvent[]).reduce(afterEvent, null as RunView | null);
const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const step = (stepName: string, end = false, more = {}) => ({ type: end ? "STEP_FINISHED" : "STEP_STARTED", stepName, ...more });

it("knows the stages of the run, without those of its subagents", () => {
  const run = fold(started, step("execution"), step("search", false, { subagentRunId: "s" }), step("execution", true), step("report"));
  expect(run?.stages).toEqual([
    { name: "execution", status: "done" },
    { name: "report", status: "running" },
  ]);
  expect(isLive(run)).toBe(true);
});

it.each([
  [{ type: "RUN_FINISHED" }, "succeeded"],
  [{ type: "RUN_FINISHED", outcome: { type: "interrupt", interrupts: [] } }, "interrupted"],
  [{ type: "RUN_FINISHED", outcome: { type: "cancelled" } }, "cancelled"],
  [{ type: "RUN_ERROR", message: "stopped", code: "cancelled" }, "cancelled"],
  [{ type: "RUN_ERROR", message: "no model", code: "model-unavailable" }, "failed"],
])("ends as its last event says: %j", (event, status) => {
  const run = fold(started, step("execution"), event);
  expect(run?.status).toBe(status);
  expect(isLive(run)).toBe(false);
  expect(run?.error?.code ?? null).toBe(status === "failed" ? "model-unavailable" : null);
});

it("begins anew with the next run, and is the same object for events that say nothing of it", () => {
  const failed = fold(started, { type: "RUN_ERROR", message: "x" });
  expect(afterEvent(failed, { type: "TEXT_MESSAGE_CONTENT" } as BaseEvent)).toBe(failed);
  expect(afterEvent(failed, { ...started, runId: "r2" } as unknown as BaseEvent)).toMatchObject({ runId: "r2", error: null });
});

it("remembers which message a run left without an answer, until another run answers it", () => {
  const ended = (status: RunView["status"]): RunView => ({ runId: "r", status, stages: [], error: null });
  const none = new Map<string, RunView>();
  expect(afterEnd(none, "m1", ended("succeeded"))).toBe(none);
  expect(afterEnd(none, null, ended("failed"))).toBe(none);
  expect([...afterEnd(none, "m1", ended("succeeded"), true).keys()]).toEqual(["m1"]);
  const both = afterEnd(afterEnd(none, "m1", ended("failed")), "m2", ended("cancelled"));
  expect([...both].map(([id, run]) => [id, run.status])).toEqual([["m1", "failed"], ["m2", "cancelled"]]);
  expect([...afterEnd(both, "m1", ended("interrupted")).keys()]).toEqual(["m2"]);
});
