/** What this browser keeps of a user: drafts, messages that were not sent, results of tools, the token. */

const PREFIX = "agentroute.";
/** Says how the page looks, and nothing of the user. */
const KEPT = new Set(["agentroute.theme"]);

/** Forget all of it; a browser that stores nothing has nothing to forget. */
export function forgetBrowser(shelves: readonly Storage[]): void {
  for (const shelf of shelves) {
    const names = Array.from({ length: shelf.length }, (_, place) => shelf.key(place) ?? "");
    for (const name of names) if (name.startsWith(PREFIX) && !KEPT.has(name)) shelf.removeItem(name);
  }
}
