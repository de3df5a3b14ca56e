import { API, token } from "../api/http";
import { Menu, type MenuItem } from "../ui/menu";
import { toast } from "../ui/toast";
import { isOfLog } from "../session/cursors";
import { type CurlTarget, curlOfAnswer, curlOfEvents, curlOfHistory, curlOfPost, curlOfRun } from "./curl";
import { memberText } from "./event-rows";
import { TerminalIcon } from "./icons";
import type { InspectorModel } from "./inspector-model";
import { asNewRun, requestOfRun, type ToldInput } from "./run-request";

/** The page's requests, to be repeated in a terminal. */
export function CurlMenu({ model }: { model: InspectorModel }) {
  return <Menu label="Copy as curl" icon={TerminalIcon} items={curlItems(model)} />;
}

export function curlTarget(): CurlTarget {
  return { base: API, authenticated: token.value !== "" };
}

function curlItems(model: InspectorModel): MenuItem[] {
  const { session } = model;
  const target = curlTarget();
  const { threadId } = session;
  const runId = model.runId.value;
  const items: MenuItem[] = [];
  const add = (label: string, command: () => string, note = "") =>
    items.push({ label, onSelect: () => void copyCommand(command(), note) });

  if (runId !== null) {
    const rows = model.runRows.value;
    const written = new Set(rows.flatMap((row) => memberText(row.event, "messageId") ?? []));
    const told = rows.find((row) => row.event.type === "CUSTOM" && memberText(row.event, "name") === "agentroute.input");
    const input = told === undefined ? null : ((told.event as unknown as { value: ToldInput }).value ?? null);
    const request = requestOfRun(threadId, runId, session.messages.value, written, input);
    if (request !== null) {
      const note = request.isExact ? "" : " This page did not send it: the command repeats its messages only.";
      add("The run, word for word", () => curlOfPost(target, request.sent), note);
      add("The same as a new run", () => curlOfPost(target, asNewRun(request.sent)), note);
    }
    const cursor = rows.findLast((row) => isOfLog(row.cursor))?.cursor ?? null;
    add("Its events from the start", () => curlOfEvents(target, { threadId, runId }));
    if (cursor !== null) add(`The thread's events after ${cursor}`, () => curlOfEvents(target, { threadId, cursor }));
    add("Its status and numbers", () => curlOfRun(target, threadId, runId));
  }
  add("The thread's history", () => curlOfHistory(target, threadId));
  const open = session.interrupts.value;
  if (open.length > 0) add("An approval of what is asked", () => curlOfAnswer(target, threadId, open));
  return items;
}

/** Copy a command; what else the reader needs to know is said. */
export async function copyCommand(command: string, note = ""): Promise<void> {
  try {
    await navigator.clipboard.writeText(command);
  } catch {
    // Without https, browsers have no clipboard for pages.
    toast("The browser does not let this page use the clipboard.", { bad: true });
    return;
  }
  const variable = token.value === "" ? "" : " Set TOKEN to your token first.";
  toast(`Copied.${variable}${note}`);
}
