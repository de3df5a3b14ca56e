/** Which thread is open, and its session: one at a time. */
import { computed, effect, signal } from "@preact/signals";
import { findAnswered } from "../api/history";
import { carryOutOf } from "../client-tools/carry-out";
import { clientTools } from "../client-tools/registry";
import { addressedThread, showInAddress } from "../layout/address";
import { closeDrawer } from "../layout/sidebar-state";
import { newId } from "../session/ids";
import { LiveThreadSession } from "../session/thread-session";
import { agentOfNewThreads } from "./agents";
import { isLoading, learnTitle, noteActivity, titleOf } from "./thread-list";

function sessionOf(threadId: string, isNew: boolean): LiveThreadSession {
  return new LiveThreadSession({
    threadId,
    isNew,
    title: computed(() => titleOf(threadId)),
    agentId: agentOfNewThreads,
    tools: () => clientTools,
    onActivity: noteActivity,
  });
}

function first(): LiveThreadSession {
  const addressed = addressedThread.peek();
  if (addressed !== null) return sessionOf(addressed, false);
  const fresh = newId("t");
  showInAddress(fresh, { replaces: true });
  return sessionOf(fresh, true);
}

export const currentSession = signal(first());

function open(session: LiveThreadSession): void {
  currentSession.peek().close();
  currentSession.value = session;
}

/** Open a thread of the list. */
export function openThread(threadId: string): void {
  showInAddress(threadId);
  closeDrawer();
}

/** Begin a thread; it exists for the service with its first message. */
export function newThread(): void {
  const fresh = newId("t");
  open(sessionOf(fresh, true));
  showInAddress(fresh);
  closeDrawer();
}

/** Leave the open thread for an empty one; returns what goes back to it. */
export function leaveThread(): () => void {
  const { threadId } = currentSession.peek();
  newThread();
  return () => openThread(threadId);
}

// The tools of the page are carried out in the thread that is open.
effect(() => {
  carryOutOf(currentSession.value, clientTools, findAnswered);
});

// The address may change by a link and by the back button, too.
effect(() => {
  const addressed = addressedThread.value;
  if (addressed !== null && addressed !== currentSession.peek().threadId) open(sessionOf(addressed, false));
});

effect(() => {
  const title = currentSession.value.title.value;
  document.title = title ? `${title} · AgentRoute` : "AgentRoute";
});

// A thread that was opened by its address need not be among those of the list.
let opened: LiveThreadSession | null = null;
effect(() => {
  const session = currentSession.value;
  if (!session.isOpened.value || isLoading.value || opened === session) return;
  opened = session;
  // One that does not exist yet is not asked for; its first message may be shown already.
  if (session.exists && session.title.peek() === null) void learnTitle(session.threadId);
});

// A thread that was deleted elsewhere is no longer there to be looked at.
effect(() => {
  if (currentSession.value.isGone.value) newThread();
});
