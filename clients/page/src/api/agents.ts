import { address, requestJson } from "./http";

export interface AgentTool {
  name: string;
  description: string;
  permission: "allow" | "ask";
}

export interface Agent {
  id: string;
  name: string;
  description: string;
  greeting: string | null;
  /** First messages to offer. */
  suggestions: string[];
  default: boolean;
  tools: AgentTool[];
  capabilities: Record<string, unknown>;
}

export async function listAgents(): Promise<Agent[]> {
  return (await requestJson<{ agents: Agent[] }>(address("/agents"))).agents;
}
