/** Reads the stored events of a run, for a run that this page has not followed from its start. */
import { blocksOf } from "@agentroute/client";
import type { BaseEvent } from "@ag-ui/client";
import { address, request } from "../api/http";
import type { ListedEvent } from "./event-rows";

const TERMINAL: ReadonlySet<string> = new Set(["RUN_FINISHED", "RUN_ERROR"]);

export interface RunEventsOptions {
  threadId: string;
  runId: string;
  /** Whether an event has arrived by another way: reading ends there, because everything after it arrives so, too. */
  isKnown(cursor: string): boolean;
  signal: AbortSignal;
}

/**
 * Return the run's events from its first one: to its end, or to the first one that is known.
 *
 * @throws Problem `events-expired` when the service does not keep them any more.
 */
export async function readRunEvents({ threadId, runId, isKnown, signal }: RunEventsOptions): Promise<ListedEvent[]> {
  const found: ListedEvent[] = [];
  const response = await request(address("/events", { threadId, runId }), {
    headers: { Accept: "text/event-stream" },
    signal,
  });
  if (response.body === null || response.status === 204) return found;
  for await (const { id, data } of blocksOf(response.body)) {
    if (data === null) continue;
    const event = JSON.parse(data) as BaseEvent;
    found.push({ cursor: id, event, receivedAt: null, bytes: new TextEncoder().encode(data).length });
    if ((id !== null && isKnown(id)) || TERMINAL.has(event.type)) break;
  }
  return found;
}
