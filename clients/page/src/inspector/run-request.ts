/** The request of a run: exactly what this page sent, or what the conversation says of it. */
import type { Message } from "@ag-ui/client";
import { sentRequest } from "../api/sent-requests";
import type { SentBody } from "./curl";

/** What a stream tells of a run's request: the value of `CUSTOM` `agentroute.input`. */
export interface ToldInput {
  messages?: unknown[];
  regenerateFrom?: string;
}

/**
 * Return the request of a run. Of a run that another tab or device started, or that was started before a reload, the
 * messages are known: the stream tells them, or it is the user message before the first message that the run wrote.
 */
export function requestOfRun(
  threadId: string,
  runId: string,
  messages: readonly Message[],
  written: ReadonlySet<string>,
  told: ToldInput | null = null,
): { sent: SentBody; isExact: boolean } | null {
  const own = sentRequest(runId);
  if (own !== undefined) return { sent: own, isExact: true };
  if (told !== null) {
    const { messages: asked = [], regenerateFrom } = told;
    const options = regenerateFrom === undefined ? {} : { forwardedProps: { regenerateFrom } };
    return { sent: { path: "/runs", body: JSON.stringify({ threadId, runId, messages: asked, ...options }) }, isExact: false };
  }
  const first = messages.findIndex((message) => written.has(message.id));
  const question = messages.slice(0, first < 0 ? messages.length : first).findLast((message) => message.role === "user");
  if (question === undefined) return null;
  const { id, role, content } = question;
  return { sent: { path: "/runs", body: JSON.stringify({ threadId, runId, messages: [{ id, role, content }] }) }, isExact: false };
}

/** The same request as a new run in the same thread: the ids of the run and of its messages are left to the service. */
export function asNewRun({ path, body }: SentBody): SentBody {
  const { runId: _, messages, ...rest } = JSON.parse(body) as { runId?: string; messages?: { id?: string }[] };
  const anew = messages?.map(({ id: __, ...message }) => message);
  return { path, body: JSON.stringify({ ...rest, ...(anew ? { messages: anew } : {}) }) };
}
