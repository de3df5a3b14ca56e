/** What is left to see of answers that are missing or end in the middle, when the conversation has gone on. Pure. */
import type { Message } from "@ag-ui/client";
import { isTopLevel } from "../session/owner";
import { isVisible } from "../session/visible";
import { wordsOf } from "../problems/words";
import type { RunView } from "../session/types";

type End = "missing" | "cut" | "whole";

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
  let end: End = "missing";
  for (const message of messages) {
    if (message.role === "user") {
      const words = question === null ? null : wordsFor(unanswered.get(question), end);
      if (question !== null && words !== null) traces.set(question, words);
      question = message.id;
      end = "missing";
    } else end = endAfter(end, message);
  }
  return traces;
}

/** Return how far an answer goes with one more message. */
function endAfter(end: End, message: Message): End {
  if (message.role !== "assistant" || !isTopLevel(message)) return end;
  // One without a word says only that another one was to follow.
  if (!isVisible(message)) return end === "whole" && isCutOff(message) ? "cut" : end;
  return isCutOff(message) ? "cut" : "whole";
}

function wordsFor(run: RunView | undefined, end: End): string | null {
  if (run?.status === "cancelled") return "This answer was stopped.";
  if (run?.error) return `This answer failed. ${wordsOf(run.error).title}`;
  return { missing: "There was no answer.", cut: "This answer was cut off.", whole: null }[end];
}

function isCutOff(message: Message): boolean {
  const { metadata } = message as { metadata?: { incomplete?: unknown } };
  return metadata?.incomplete === true;
}
