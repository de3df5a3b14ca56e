import { currentAgent } from "../threads/agents";
import { LogoMark } from "../ui/icons";

/** What a new thread shows before its first message. */
export function EmptyThread() {
  const agent = currentAgent.value;
  return (
    <div class="empty-thread">
      <LogoMark size={44} />
      <h1>{agent?.name ?? "AgentRoute"}</h1>
      <p>{agent?.greeting ?? agent?.description ?? "Ask something to begin."}</p>
    </div>
  );
}
