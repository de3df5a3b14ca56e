import type { Message } from "@ag-ui/client";
import { messageFacts } from "./message-facts";
import { Meter } from "./meter";

/** The line under an answer: what it took. */
export function MessageMeter({ message }: { message: Message }) {
  const found = messageFacts(message);
  return found === null ? null : <Meter {...found} />;
}
