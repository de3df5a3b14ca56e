/** What the thread says about its tool calls: pure, from messages, open questions and the newest run. */
import type { Interrupt, Message } from "@ag-ui/client";
import type { AssistantMessage, ToolCall, ToolMessage } from "../session/message-parts";
import { isLive } from "../session/run-view";
import type { RunView } from "../session/types";
import { isObject, parsed } from "./loose-json";

export type CallStatus =
  /** The model is still writing the arguments. */
  | "writing"
  | "running"
  /** A question to the user is open. */
  | "asking"
  /** A client tool: this page, or another one, has to carry it out. */
  | "pending"
  | "done"
  | "failed"
  | "declined"
  /** The run ended, or the conversation went on, without a result. */
  | "unanswered";

export interface ToolCallView {
  id: string;
  name: string;
  /** JSON text, perhaps incomplete. */
  arguments: string;
  status: CallStatus;
  result: ToolMessage | null;
}

/** What the calls of all messages are judged by; read once for a thread, and not once a call. */
export interface ThreadFacts {
  results: ReadonlyMap<string, ToolMessage>;
  /** The assistant's messages after the last message of the user. */
  newest: readonly AssistantMessage[];
  /** Calls that a question to the user is about. */
  asked: ReadonlySet<string>;
  run: RunView | null;
}

export function readThread(
  messages: readonly Message[],
  interrupts: readonly Interrupt[],
  run: RunView | null,
): ThreadFacts {
  const results = new Map<string, ToolMessage>();
  for (const message of messages) if (message.role === "tool") results.set(message.toolCallId, message);
  const turn = messages.slice(messages.findLastIndex((message) => message.role === "user") + 1);
  return {
    results,
    newest: turn.filter((message) => message.role === "assistant"),
    asked: new Set(interrupts.flatMap((interrupt) => interrupt.toolCallId ?? [])),
    run,
  };
}

/** Return the calls of one assistant message, in the order in which they were made. */
export function callsOf(message: AssistantMessage, facts: ThreadFacts): ToolCallView[] {
  return (message.toolCalls ?? []).map((call) => callView(call, message, facts));
}

/** Return one call of an assistant message. */
export function callView(call: ToolCall, message: AssistantMessage, facts: ThreadFacts): ToolCallView {
  const result = facts.results.get(call.id) ?? null;
  return {
    id: call.id,
    name: call.function.name,
    arguments: call.function.arguments,
    status: result ? outcome(result) : openStatus(call, message, facts),
    result,
  };
}

/** Return the calls of client tools that wait for a client: a run that ended well left them without a result. */
export function pendingClientCalls(facts: ThreadFacts): ToolCallView[] {
  if (facts.run?.status !== "succeeded") return [];
  return facts.newest.flatMap((message) => callsOf(message, facts)).filter((call) => call.status === "pending");
}

function openStatus(
  call: ToolCall,
  message: AssistantMessage,
  facts: ThreadFacts,
): CallStatus {
  if (facts.asked.has(call.id)) return "asking";
  if (!facts.newest.some((other) => other.id === message.id)) return "unanswered";
  if (isLive(facts.run)) return parsed(call.function.arguments) !== undefined ? "running" : "writing";
  return facts.run?.status === "succeeded" ? "pending" : "unanswered";
}

/** The service names what is no success in the result's metadata; a client's own result has `error`. */
function outcome(result: ToolMessage): CallStatus {
  const metadata: unknown = (result as { metadata?: unknown }).metadata;
  const state = isObject(metadata) ? metadata["state"] : undefined;
  if (state === "denied") return "declined";
  if (state === "error" || state === "interrupted" || result.error) return "failed";
  return "done";
}
