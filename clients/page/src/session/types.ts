/**
 * What the parts of the page know about an open thread. `thread-session.ts` implements it; everything that is shown
 * reads these signals and calls these methods, and nothing else talks to `/events`, `/runs` or `/resume`.
 */
import type { BaseEvent, Interrupt, Message, ResumeEntry } from "@ag-ui/client";
import type { ReadonlySignal } from "@preact/signals";

/** One frame of the thread's stream as it arrived, for the inspector. */
export interface LoggedEvent {
  /** The frame's `id`; `null` for a frame without one. */
  cursor: string | null;
  event: BaseEvent;
  /** Milliseconds since the epoch, by this browser's clock. */
  receivedAt: number;
  /** Size of the JSON text in bytes. */
  bytes: number;
}

/** The newest events of the thread, oldest first; at most `capacity`, older ones are dropped. */
export interface EventLog {
  readonly capacity: number;
  /** Counts up with every change: read it in a component to be drawn again. */
  readonly version: ReadonlySignal<number>;
  entries(): readonly LoggedEvent[];
}

export interface Stage {
  name: "intent" | "execution" | "report" | (string & {});
  status: "running" | "done";
}

/** The newest run of the thread, live or ended. */
export interface RunView {
  runId: string;
  status: "queued" | "running" | "succeeded" | "interrupted" | "cancelled" | "failed";
  stages: readonly Stage[];
  /** Of a failed run. `code` is a stable code of docs/problems.md. */
  error: { code: string; message: string } | null;
}

/** `connecting`: first answer not here yet. `reconnecting`: a line broke, tried again by itself. `offline`: no network. */
export type Connection = "connecting" | "live" | "reconnecting" | "offline";

export interface SendOptions {
  /** Model words for a busy thread; the page's default is "enqueue". */
  onBusy?: "reject" | "enqueue" | "supersede";
  /** What happens to open questions; the page's default is "refuse". */
  onInterrupt?: "refuse" | "cancel";
  /** The message's id; made if absent. The same id for each try of a message. */
  messageId?: string;
}

/** What a user sends: text, or text and attachments as AG-UI input content parts. */
export type UserContent = Extract<Message, { role: "user" }>["content"];

export interface ThreadSession {
  readonly threadId: string;
  readonly title: ReadonlySignal<string | null>;
  /** Oldest first; older pages are put in front by `loadOlder`. A message that says the same stays the same object. */
  readonly messages: ReadonlySignal<readonly Message[]>;
  /** The same messages one by one, for what draws one of them: `ids` is silent while a message grows. */
  readonly store: {
    readonly ids: ReadonlySignal<readonly string[]>;
    message(id: string): ReadonlySignal<Message> | undefined;
    /** The result of a tool call; `null` until there is one. */
    result(toolCallId: string): ReadonlySignal<Extract<Message, { role: "tool" }> | null>;
  };
  /** Messages of this page whose runs have not begun: on their way, or behind a live run. */
  readonly waiting: ReadonlySignal<ReadonlySet<string>>;
  /** The thread's messages are here, or it has none. */
  readonly isOpened: ReadonlySignal<boolean>;
  /** The thread was deleted. */
  readonly isGone: ReadonlySignal<boolean>;
  readonly hasOlder: ReadonlySignal<boolean>;
  /** The shared state of agent and page, with the user's edit that is not sent yet. */
  readonly state: ReadonlySignal<unknown>;
  /** The shared state as the service has it. */
  readonly agentState: ReadonlySignal<unknown>;
  /** Open questions of the interrupted run. */
  readonly interrupts: ReadonlySignal<readonly Interrupt[]>;
  readonly run: ReadonlySignal<RunView | null>;
  /** The runs that this page has seen fail, stop, or say nothing, by the user message that they were to answer. */
  readonly unanswered: ReadonlySignal<ReadonlyMap<string, RunView>>;
  readonly connection: ReadonlySignal<Connection>;
  readonly log: EventLog;
  /** Whether this page has begun a run since it was loaded: then its client tools are carried out here. */
  isOwn(runId: string): boolean;

  /** Resolves when the server has accepted the message; rejects with `Problem` when it refused. */
  send(content: UserContent, options?: SendOptions): Promise<void>;
  /** Repeat a user message, or send another one in its place; what followed is replaced. */
  regenerate(messageId: string, content?: UserContent): Promise<void>;
  /** Answer all open interrupts at once. */
  resume(answers: readonly ResumeEntry[]): Promise<void>;
  /** Answer calls of client tools. */
  answerToolCalls(results: readonly { toolCallId: string; content: string; error?: string }[]): Promise<void>;
  cancel(): Promise<void>;
  /** The user's edit of the shared state: shown at once, sent with the next run; `undefined` takes it back. */
  editState(next: unknown): void;
  loadOlder(): Promise<void>;
  close(): void;
}

/** A refusal of the server (RFC 9457), or of the network (`code: "network"`). */
export class Problem extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status: number,
    readonly retryable: boolean,
    /** Seconds, from `Retry-After`. */
    readonly retryAfter: number | null = null,
    readonly requestId: string | null = null,
    /** What is wrong with a request, by JSON Pointer into its body. */
    readonly errors: readonly { pointer: string; message: string }[] = [],
    /** All members of the problem document, for those that a code adds. */
    readonly members: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.name = "Problem";
  }
}

/** Return what was thrown as a refusal; a fault of the page itself may be tried again. */
export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem("internal-error", String(error), 0, true);
}

/** A tool that the page offers to the agent and carries out itself. */
export interface ClientTool {
  name: string;
  description: string;
  /** JSON Schema of the arguments. */
  parameters: Record<string, unknown>;
  /** Carry a call out; the returned text is the tool's result. */
  run(args: Record<string, unknown>): Promise<string> | string;
}
