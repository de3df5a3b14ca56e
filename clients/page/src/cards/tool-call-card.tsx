import { useComputed } from "@preact/signals";
import { ClientCall } from "../client-tools/client-call";
import type { AssistantMessage, ToolCall } from "../session/message-parts";
import type { ThreadSession } from "../session/types";
import { activityOf } from "./activity-of";
import { CallCard } from "./call-card";
import { SubagentActivity } from "./subagent-activity";
import { factsOf } from "./thread-facts";
import { callView } from "./tool-calls";

interface ToolCallCardProps {
  session: ThreadSession;
  message: AssistantMessage;
  call: ToolCall;
}

/** A call of a tool: its arguments as they are written, what became of it, and who works for it. */
export function ToolCallCard({ session, message, call }: ToolCallCardProps) {
  const facts = factsOf(session);
  const activity = activityOf(session);
  // Only the words are read: a change elsewhere in the thread draws no card again.
  const status = useComputed(() => callView(call, message, facts.value).status);
  const progress = useComputed(() => activity.value.progress[call.id]);
  const view = { ...callView(call, message, facts.peek()), status: status.value };
  return (
    <CallCard call={view} progress={progress.value}>
      <ClientCall session={session} call={view} />
      <SubagentActivity session={session} callId={call.id} />
    </CallCard>
  );
}
