import { agents, chooseAgent, currentAgent } from "./agents";

/** Which agent a new thread gets; shown only where there are several. */
export function AgentChoice() {
  if (agents.value.length < 2) return null;
  return (
    <label class="agent-choice">
      <span>Agent</span>
      <select class="field" value={currentAgent.value?.id ?? ""} onChange={(event) => chooseAgent(event.currentTarget.value)}>
        {agents.value.map((agent) => (
          <option key={agent.id} value={agent.id}>
            {agent.name}
          </option>
        ))}
      </select>
    </label>
  );
}
