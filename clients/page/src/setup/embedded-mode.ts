/** Whether this page belongs to an embedded service of this machine, and which model that uses. */
import { computed, signal } from "@preact/signals";
import { readModel, type LocalModelServer, type ModelInUse } from "../api/embedded";

const TRIES = 5;
const PAUSE_MILLISECONDS = 1000;

/** `null` until it is known, and where there is no embedded mode. */
export const model = signal<ModelInUse | null>(null);
export const foundServers = signal<readonly LocalModelServer[]>([]);
export const isEmbedded = computed(() => model.value !== null);

/** The service answers nobody else, so nobody else needs to ask. */
export function isOfThisMachine(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Ask the service; it may just be starting. */
export async function loadModel(): Promise<void> {
  if (!isOfThisMachine(location.hostname)) return;
  for (let tried = 1; ; tried++) {
    try {
      const told = await readModel();
      model.value = told;
      foundServers.value = told?.found ?? [];
      return;
    } catch (error) {
      if (tried === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS * tried));
    }
  }
}
