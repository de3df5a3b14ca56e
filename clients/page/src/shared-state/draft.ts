/**
 * The user's edit of the shared state, until it is sent: pure.
 *
 * 1. An edit is a draft upon the state that the service has. It is sent with the next run.
 * 2. The service has the draft: it is no draft any more.
 * 3. The assistant changes the state before that: its state is shown, and the draft is kept beside it. Nothing of
 *    anybody is overwritten without the user's word.
 */
import { sameJson } from "../session/same-json";
import { changedPlaces } from "./paths";

export interface SharedState {
  /** The state as the service has it. */
  agent: unknown;
  /** The user's edit that is sent with the next run. */
  draft: { value: unknown } | null;
  /** An edit that the assistant was faster than. */
  conflict: { value: unknown } | null;
  /** What the assistant changed in the newest run, as JSON Pointers. */
  changed: ReadonlySet<string>;
  /** The places that hold changed ones. */
  holders: ReadonlySet<string>;
  runId: string | null;
}

const NOTHING: ReadonlySet<string> = new Set();

export function newShared(agent: unknown, runId: string | null): SharedState {
  return { agent, draft: null, conflict: null, changed: NOTHING, holders: NOTHING, runId };
}

export function edited(shared: SharedState, value: unknown): SharedState {
  // Whoever has taken over all of the edit that was kept has nothing left to decide.
  const conflict = sameJson(value, shared.conflict?.value) ? null : shared.conflict;
  return { ...shared, conflict, draft: sameJson(value, shared.agent) ? null : { value } };
}

export function takenBack(shared: SharedState): SharedState {
  return { ...shared, draft: null };
}

export function settled(shared: SharedState): SharedState {
  return { ...shared, conflict: null };
}

/** The service has another state, or another run goes on. */
export function received(shared: SharedState, agent: unknown, runId: string | null): SharedState {
  const isNewRun = runId !== shared.runId;
  const fresh = isNewRun ? { ...shared, runId, changed: NOTHING, holders: NOTHING } : shared;
  if (sameJson(agent, shared.agent)) return fresh;
  if (shared.draft && sameJson(agent, shared.draft.value)) return { ...fresh, agent, draft: null };
  const conflict = shared.draft ?? (sameJson(agent, shared.conflict?.value) ? null : shared.conflict);
  const places = isEmpty(shared.agent) ? { exact: NOTHING, holders: NOTHING } : changedPlaces(shared.agent, agent);
  return {
    ...fresh,
    agent,
    draft: null,
    conflict,
    changed: union(fresh.changed, places.exact),
    holders: union(fresh.holders, places.holders),
  };
}

/** There is no shared state: the official client holds `{}` until it is told one. */
export function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "object" && Object.keys(value).length === 0);
}

function union(one: ReadonlySet<string>, other: ReadonlySet<string>): ReadonlySet<string> {
  return other.size === 0 ? one : new Set([...one, ...other]);
}
