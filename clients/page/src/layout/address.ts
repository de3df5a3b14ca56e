/** The open thread in the page's address: `#/t/ID`, or `?thread=ID` in a link from elsewhere. */
import { signal } from "@preact/signals";

const HASH = /^#\/t\/([A-Za-z0-9._:-]{1,128})$/;

function read(): string | null {
  const fromHash = HASH.exec(location.hash)?.[1];
  return fromHash ?? new URLSearchParams(location.search).get("thread");
}

/** The thread that the address names; `null` if none. */
export const addressedThread = signal(read());

addEventListener("hashchange", () => (addressedThread.value = read()));

/** Name a thread in the address; `replaces` leaves no step for the back button. */
export function showInAddress(threadId: string, { replaces = false }: { replaces?: boolean } = {}): void {
  const address = `${location.pathname}#/t/${threadId}`;
  if (replaces) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  addressedThread.value = threadId;
}

addEventListener("popstate", () => (addressedThread.value = read()));
