/** Everything of the user as a whole: to take along, and to erase. */
import { address, request, requestJson } from "./http";

export interface StoreReceipt {
  store: string;
  removed: number;
  /** Rows that stay without the user. */
  kept: number;
  note?: string | null;
}

export interface Erasure {
  erasureId: string;
  state: "erasing" | "erased";
  askedAt: string;
  finishedAt?: string | null;
  /** A store that does not answer now. The erasure goes on by itself. */
  waitsFor?: string | null;
  stores: StoreReceipt[];
}

/** Lines of JSON, as they come. */
export function openExport(signal: AbortSignal): Promise<Response> {
  return request(address("/export"), { signal, headers: { Accept: "application/x-ndjson" } });
}

/** Erase everything of the user, or look how far it is: the same request does both. */
export function eraseMe(): Promise<Erasure> {
  return requestJson(address("/me"), { method: "DELETE" });
}
