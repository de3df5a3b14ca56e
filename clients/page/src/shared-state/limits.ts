/** What the service takes as shared state. */
export const MAX_STATE_BYTES = 128 * 1024;
export const MAX_DEPTH = 64;

/** Levels of lists and objects in a value. */
export function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Object.values(value).reduce<number>((deepest, member) => Math.max(deepest, depthOf(member)), 0);
}
