import { useState } from "preact/hooks";
import type { ThreadSession } from "../session/types";
import { FirstRun } from "../setup/first-run";
import { currentAgent } from "../threads/agents";
import { LogoMark } from "../ui/icons";
import { toastError } from "../ui/toast";

/** What a new thread shows before its first message. */
export function EmptyThread({ session }: { session: ThreadSession }) {
  const agent = currentAgent.value;
  const [isSending, setSending] = useState(false);
  const send = async (text: string) => {
    setSending(true);
    try {
      await session.send(text);
    } catch (error) {
      toastError(error);
      setSending(false);
    }
  };
  return (
    <div class="empty-thread">
      <LogoMark size={44} />
      <h1>{agent?.name ?? "AgentRoute"}</h1>
      <p>{agent?.greeting ?? agent?.description ?? "Ask something to begin."}</p>
      {agent && agent.suggestions.length > 0 && (
        <ul class="suggestions" aria-label="Suggestions">
          {agent.suggestions.map((text) => (
            <li key={text}>
              <button type="button" disabled={isSending} onClick={() => void send(text)}>
                {text}
              </button>
            </li>
          ))}
        </ul>
      )}
      <FirstRun />
    </div>
  );
}
