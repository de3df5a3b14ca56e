/** Which answer belongs to which question. Pure. */
import type { Message } from "@ag-ui/client";
import { isVisible } from "./visible";

/** Return the last assistant message of each answer that is there to be seen, with the user message it answers. */
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
    } else if (message.role === "assistant" && isVisible(message)) last = message.id;
  }
  end();
  return ends;
}

/** The newest message of the user: what is answered again after a failure. */
export function lastQuestion(messages: readonly Message[]): string | null {
  return messages.findLast((message) => message.role === "user")?.id ?? null;
}

/** Whether nothing is there to be seen of an answer to the newest message of the user. */
export function isUnanswered(messages: readonly Message[]): boolean {
  const place = messages.findLastIndex((message) => message.role === "user");
  return place >= 0 && !messages.slice(place).some((message) => message.role === "assistant" && isVisible(message));
}
