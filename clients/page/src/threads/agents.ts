/** The agents of the deployment, and which one a new thread gets. */
import { computed, signal } from "@preact/signals";
import { listAgents, type Agent } from "../api/agents";

export const agents = signal<readonly Agent[]>([]);
const chosenId = signal<string | null>(null);

/** The agent of new threads. */
export const currentAgent = computed(
  () => agents.value.find(({ id }) => id === chosenId.value) ?? agents.value.find((agent) => agent.default) ?? null,
);

export function chooseAgent(id: string): void {
  chosenId.value = id;
}

/** The agent to name in the first run; `null` is the default one. */
export const agentOfNewThreads = computed(() => (currentAgent.value?.default === false ? currentAgent.value.id : null));

export async function loadAgents(): Promise<void> {
  agents.value = await listAgents();
}
