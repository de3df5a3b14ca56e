/** The agent behind the chat: AgentRoute's routes, over a line that may break. */
import { ConnectingAgent, resumingFetch, type ConnectionState } from "@agentroute/client";
import type { CopilotKitProviderProps } from "@copilotkit/react-core/v2";

type Agents = NonNullable<CopilotKitProviderProps["selfManagedAgents"]>;

/** The thread is in the address: after a reload, CopilotKit connects to it and goes on, also in the middle of a run. */
export function threadOfAddress(): string {
  if (!location.hash) history.replaceState(null, "", `#${crypto.randomUUID()}`);
  return location.hash.slice(1);
}

/** Agents for `CopilotKitProvider`: no server of CopilotKit's is needed. */
export function agents(threadId: string, onState: (state: ConnectionState) => void): Agents {
  const agent = new ConnectingAgent({ url: "/api/v1/agent/runs", threadId, fetch: resumingFetch({ onState }) });
  // CopilotKit 1.74 is typed with an older version of the same class.
  return { default: agent as unknown as Agents[string] };
}
