/** What is left to see of answers that are missing or end in the middle, when the conversation has gone on. Pure. */
import type { Message } from "@ag-ui/client";
import { wordsOf } from "../problems/words";
import type { RunView } from "../session/types";
import { isTopLevel } from "./subagents";

/**
 * Return the words for each user message without a whole answer, by its id. The newest one has none: what became of it
 * is shown at the end of the conversation.
 *
 * @param messages Without those that wait for their turn.
 * @param unanswered The runs that were seen to fail or stop. After a reload only the messages are known.
 */
export function runTraces(messages: readonly Message[], unanswered: ReadonlyMap<string, RunView>): Map<string, string> {
  const traces = new Map<string, string>();
  let question: string | null = null;
  let end: "missing" | "cut" | "whole" = "missing";
  for (const message of messages.filter(isTopLevel)) {
    if (message.role === "user") {
      const words = question === null ? null : wordsFor(unanswered.get(question), end);
      if (question !== null && words !== null) traces.set(question, words);
      question = message.id;
      end = "missing";
    } else if (message.role === "assistant") {
      end = isCutOff(message) ? "cut" : "whole";
    }
  }
  return traces;
}

function wordsFor(run: RunView | undefined, end: "missing" | "cut" | "whole"): string | null {
  if (run?.status === "cancelled") return "This answer was stopped.";
  if (run?.error) return `This answer failed. ${wordsOf(run.error).title}`;
  return { missing: "There was no answer.", cut: "This answer was cut off.", whole: null }[end];
}

function isCutOff(message: Message): boolean {
  const { metadata } = message as { metadata?: { incomplete?: unknown } };
  return metadata?.incomplete === true;
}
