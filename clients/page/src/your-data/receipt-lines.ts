/** A receipt in words: what became of what. Pure. */
import type { StoreReceipt } from "../api/user-data";

/** In the order in which they are told. */
const WORDS: Readonly<Record<string, string>> = {
  "postgres: agent_chat_session": "Conversations",
  "postgres: agent_chat_message": "Messages",
  "file store: files": "Files",
  "postgres: agent_memory": "Memories",
  "postgres: agent_schedule": "Schedules",
  "postgres: agent_connection": "Connections",
  "postgres: agent_api_key": "API keys",
  "postgres: agent_run": "Runs",
  "postgres: agent_run_event": "Events of runs",
  "postgres: agent_interrupt": "Questions of agents",
  "postgres: agent_state": "States of agents",
  "postgres: agent_state_part": "Parts of states",
  "postgres: agent_file": "Entries of files",
  "postgres: agent_model_call": "Model calls",
  "postgres: agent_transcription": "Transcriptions",
  "postgres: agent_stored_change": "Counts of stored bytes",
};
const ORDER = Object.keys(WORDS);

/** A store that has no word here is told by its own name. */
export function storeWords(store: string): string {
  const name = store.replace(/^postgres: (agent_)?/, "").replaceAll("_", " ");
  return WORDS[store] ?? name.charAt(0).toUpperCase() + name.slice(1);
}

/** Return the stores in which there was something, and those in which there was nothing. */
export function sorted(stores: readonly StoreReceipt[]): { found: StoreReceipt[]; empty: StoreReceipt[] } {
  const hadSomething = ({ removed, kept }: StoreReceipt) => removed + kept > 0;
  const place = ({ store }: StoreReceipt) => (ORDER.indexOf(store) + 1 || ORDER.length + 1);
  return { found: stores.filter(hadSomething).sort((one, other) => place(one) - place(other)), empty: stores.filter((one) => !hadSomething(one)) };
}
