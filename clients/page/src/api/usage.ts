import { address, requestJson } from "./http";

export interface Percentiles {
  p50: number;
  p95: number;
}

export interface CallTotals {
  calls: number;
  estimatedCalls: number;
  inputTokens: number;
  outputTokens: number;
  cachedInputTokens: number;
  cacheWriteTokens: number;
  reasoningTokens: number;
  /** A decimal; `null` when no cost is known. */
  cost: string | null;
  unknownCostCalls: number;
  modelMs: number;
  latencyMs: Percentiles | null;
  ttftMs: Percentiles | null;
}

export interface DayUsage extends CallTotals {
  day: string;
}
export interface ModelUsage extends CallTotals {
  provider: string;
  model: string;
}
export interface ThreadUsage extends CallTotals {
  /** `null` stands for all threads that were deleted since. */
  threadId: string | null;
  title: string | null;
}

export interface Transcriptions {
  calls: number;
  audioMs: number;
  cost: string | null;
  unknownCostCalls: number;
}

interface Rows {
  day: DayUsage;
  model: ModelUsage;
  thread: ThreadUsage;
}

export type Grouping = keyof Rows;

export interface UsageReport<G extends Grouping = Grouping> {
  from: string;
  to: string;
  currency: string;
  totals: CallTotals;
  rows: Rows[G][];
  truncated: boolean;
  transcriptions: { totals: Transcriptions };
}

/** The caller's usage in a period: dates as `2026-11-27`, both included. */
export function readUsage<G extends Grouping>(groupBy: G, from: string, to: string, signal?: AbortSignal) {
  return requestJson<UsageReport<G>>(address("/usage", { groupBy, from, to }), signal ? { signal } : {});
}
