import type { Message } from "@ag-ui/client";
import { messageFacts } from "./message-facts";
import "./meter.css";

/** The line under an answer: what it took. Unfolds. */
export function MessageMeter({ message }: { message: Message }) {
  const found = messageFacts(message);
  if (found === null) return null;
  return (
    <details class="meter">
      <summary>{found.line}</summary>
      <dl class="meter-details">
        {found.details.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
