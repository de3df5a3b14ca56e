/** Which answer belongs to which question. Pure. */
import type { Message } from "@ag-ui/client";

/** Return the last assistant message of each answer, by the id of the user message it answers. */
export function answeredBy(messages: readonly Message[]): Map<string, string> {
  const ends = new Map<string, string>();
  let question: string | null = null;
  let last: string | null = null;
  const end = () => {
    if (question !== null && last !== null) ends.set(last, question);
    last = null;
  };
  for (const message of messages) {
    if (message.role === "user") {
      end();
      question = message.id;
    } else if (message.role === "assistant") last = message.id;
  }
  end();
  return ends;
}

/** The newest message of the user: what is answered again after a failure. */
export function lastQuestion(messages: readonly Message[]): string | null {
  return messages.findLast((message) => message.role === "user")?.id ?? null;
}
