/** What a run was asked, as followers of a thread are told: the log of a run has no user messages. */
import type { Message } from "@ag-ui/client";

/** Name of the `CUSTOM` event behind each `RUN_STARTED` of a followed thread. */
export const INPUT_EVENT = "agentroute.input";

/** Value of the event. */
export interface RunInput {
  readonly runId: string;
  readonly messages: readonly Message[];
  /** This message and all after it are replaced. */
  readonly regenerateFrom?: string;
}

/** Return the messages of a thread with the input of a run. The event may be told twice. */
export function withInput(messages: readonly Message[], input: RunInput): Message[] {
  const from = messages.findIndex(({ id }) => id === input.regenerateFrom);
  // Told again: what replaces is there already, and stays.
  const kept = from < 0 ? messages : messages.slice(0, from);
  // A message that is answered again is among those that it replaces.
  const isNew = ({ id }: Message) => !kept.some((message) => message.id === id);
  return [...kept, ...input.messages.filter(isNew)];
}
