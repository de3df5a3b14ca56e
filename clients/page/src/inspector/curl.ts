/**
 * Requests of this page as `curl` commands, to be repeated in a terminal.
 *
 * A token is never written: the command says `$TOKEN`, and the reader sets the variable.
 */
import type { Interrupt, ResumeEntry } from "@ag-ui/client";
import { shellQuote } from "./shell-quote";

/** Where the service is, and whether requests carry a token. */
export interface CurlTarget {
  /** Address of the API, without a slash at its end: `http://127.0.0.1:8000/api/v1/agent`. */
  base: string;
  authenticated: boolean;
}

/** A body as it was sent: JSON text. */
export interface SentBody {
  path: "/runs" | "/resume" | (string & {});
  body: string;
}

/** Linux refuses a single argument of 128 KiB (`MAX_ARG_STRLEN`); longer bodies go through standard input. */
const LONGEST_ARGUMENT = 100_000;

const HERE = "END_OF_BODY";

function command(target: CurlTarget, options: string[], path: string, rest: string[] = []): string {
  const words = ["curl", ...options, shellQuote(target.base + path)];
  // Double quotes: the shell is to put the variable's value in.
  const token = target.authenticated ? ['-H "Authorization: Bearer $TOKEN"'] : [];
  return [words.join(" "), ...token, ...rest].join(" \\\n  ");
}

function query(values: Record<string, string | null | undefined>): string {
  const pairs = Object.entries(values).filter((pair): pair is [string, string] => pair[1] != null);
  return pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
}

/** A `POST` with exactly this body; the answer is the run's stream. */
export function curlOfPost(target: CurlTarget, sent: SentBody): string {
  const headers = ["-H 'Content-Type: application/json'", "-H 'Accept: text/event-stream'"];
  if (new TextEncoder().encode(sent.body).length <= LONGEST_ARGUMENT) {
    return command(target, ["-N"], sent.path, [...headers, `--data-raw ${shellQuote(sent.body)}`]);
  }
  // JSON text has no line that is just the word, and nothing is expanded after a quoted one.
  return `${command(target, ["-N"], sent.path, [...headers, `--data-binary @- <<'${HERE}'`])}\n${sent.body}\n${HERE}`;
}

/** The events of a thread, or of one run, after a cursor; without one from the first event. */
export function curlOfEvents(
  target: CurlTarget,
  from: { threadId: string; runId?: string | null; cursor?: string | null },
): string {
  return command(target, ["-N"], `/events?${query({ threadId: from.threadId, runId: from.runId, cursor: from.cursor })}`);
}

export function curlOfHistory(target: CurlTarget, threadId: string): string {
  return command(target, [], `/history?${query({ threadId })}`);
}

export function curlOfRun(target: CurlTarget, threadId: string, runId: string): string {
  return command(target, [], `/runs/${encodeURIComponent(runId)}?${query({ threadId })}`);
}

/**
 * The answer to a run's open questions: the given answers, and for every other question a plain approval, because the
 * server wants all of them answered at once.
 */
export function curlOfAnswer(
  target: CurlTarget,
  threadId: string,
  interrupts: readonly Interrupt[],
  answers: readonly ResumeEntry[] = [],
): string {
  const given = new Map(answers.map((answer) => [answer.interruptId, answer]));
  const resume = interrupts.map((open) => given.get(open.id) ?? approval(open));
  return curlOfPost(target, { path: "/resume", body: JSON.stringify({ threadId, resume }) });
}

function approval(open: Interrupt): ResumeEntry {
  const asksForApproval = open.reason === "tool_approval" || open.reason === "budget_exhausted";
  return { interruptId: open.id, status: "resolved", ...(asksForApproval ? { payload: { approved: true } } : {}) };
}
