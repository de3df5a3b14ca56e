/** The list of threads: pages, search, and news of single threads. */
import { batch, signal } from "@preact/signals";
import * as api from "../api/threads";
import type { ThreadItem } from "../api/threads";

export const threads = signal<readonly ThreadItem[]>([]);
export const nextBefore = signal<string | null>(null);
export const query = signal("");
export const isLoading = signal(true);
export const failure = signal<string | null>(null);

/** Titles of all threads seen so far, also of those that a search leaves out. */
const titles = signal<ReadonlyMap<string, string>>(new Map());
/** A title that a model makes comes after the end of the run. */
const TITLE_MILLISECONDS = [1500, 5000, 15_000];

export function titleOf(threadId: string): string | null {
  return titles.value.get(threadId) ?? null;
}

let asked = new AbortController();
/** How the list is being read: with what was loaded behind its first page, or without; `null` when nobody reads. */
let reading: boolean | null = null;

/** Read the list from its beginning. What was loaded behind the first page stays, if the search is the same. */
export async function refresh(): Promise<void> {
  await read(true);
}

export async function search(words: string): Promise<void> {
  query.value = words;
  await read(false);
}

async function read(keeps: boolean): Promise<void> {
  asked.abort();
  const { signal: stop } = (asked = new AbortController());
  reading = keeps;
  try {
    const page = await api.listThreads({ q: query.peek() }, stop);
    const last = page.threads.at(-1);
    const inPage = new Set(page.threads.map(({ threadId }) => threadId));
    const behind = threads.peek().filter((one) => keeps && last && one.updatedAt < last.updatedAt && !inPage.has(one.threadId));
    show([...page.threads, ...behind], behind.length > 0 ? nextBefore.peek() : page.nextBefore);
    failure.value = null;
  } catch (error) {
    if (stop.aborted) return;
    failure.value = (error as Error).message;
  }
  reading = null;
  isLoading.value = false;
}

/** What was asked for before a change is answered as it was before the change. */
function readAnew(): void {
  asked.abort();
  asked = new AbortController();
  if (reading !== null) void read(reading);
}

/** Read the next page. */
export async function loadMore(): Promise<void> {
  const before = nextBefore.peek();
  if (before === null) return;
  const { signal: stop } = asked;
  const page = await api.listThreads({ q: query.peek(), before });
  // The list was read anew meanwhile, perhaps for other words.
  if (stop.aborted) return;
  const known = new Set(threads.peek().map(({ threadId }) => threadId));
  show([...threads.peek(), ...page.threads.filter(({ threadId }) => !known.has(threadId))], page.nextBefore);
}

function show(items: readonly ThreadItem[], next: string | null): void {
  batch(() => {
    note(items);
    threads.value = items;
    nextBefore.value = next;
  });
}

export async function rename(threadId: string, title: string): Promise<void> {
  const item = await api.renameThread(threadId, title);
  note([item]);
  threads.value = threads.peek().map((one) => (one.threadId === threadId ? item : one));
  readAnew();
}

export async function remove(threadId: string): Promise<void> {
  await api.deleteThread(threadId);
  threads.value = threads.peek().filter((one) => one.threadId !== threadId);
  readAnew();
}

/** Nothing of the list is there any more. */
export function forgetThreads(): void {
  show([], null);
  titles.value = new Map();
}

let timers: ReturnType<typeof setTimeout>[] = [];

/** A run of a thread has begun or ended: the list has a new order, and perhaps a title. */
export function noteActivity(threadId: string): void {
  timers.forEach(clearTimeout);
  void refresh();
  timers = titleOf(threadId) === null ? TITLE_MILLISECONDS.map((after) => setTimeout(lookForTitle, after, threadId)) : [];
}

/** Read the title of a thread that was opened by its address, and may be far down in the list. */
export async function learnTitle(threadId: string): Promise<void> {
  // Without a title the page says so; it is no reason to disturb.
  const item = await api.getThread(threadId).catch(() => null);
  if (item !== null) note([item]);
}

// Other devices begin conversations, too. Whoever comes back to the page sees them.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && !isLoading.peek()) void refresh();
});

function lookForTitle(threadId: string): void {
  if (titleOf(threadId) === null) void refresh();
}

function note(items: readonly ThreadItem[]): void {
  const known = new Map(titles.peek());
  for (const { threadId, title } of items) if (title !== null) known.set(threadId, title);
  titles.value = known;
}
