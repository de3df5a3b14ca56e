import { useComputed } from "@preact/signals";
import type { ThreadSession } from "../session/types";
import { AlertIcon, CheckIcon, ChevronIcon } from "../ui/icons";
import type { SubagentView } from "./activity";
import { activityOf } from "./activity-of";
import { messagesBy, subagentsFor } from "./subagents";
import { factsOf } from "./thread-facts";
import { callsOf } from "./tool-calls";
import { CallCard } from "./call-card";
import "./subagent-activity.css";

/** The subagents that work for a call, each with what it says and does. */
export function SubagentActivity({ session, callId }: { session: ThreadSession; callId: string }) {
  const activity = activityOf(session);
  const found = useComputed(() => subagentsFor(callId, activity.value, session.messages.value));
  return (
    <>
      {found.value.map((one) => (
        <Subagent key={one.id} session={session} subagent={one} />
      ))}
    </>
  );
}

function Subagent({ session, subagent }: { session: ThreadSession; subagent: SubagentView }) {
  const activity = activityOf(session).value;
  const facts = factsOf(session).value;
  const words = { running: subagent.doing ?? "works", done: "Done", failed: "Failed" }[subagent.status];
  return (
    <details class={`subagent ${subagent.status}`} open={subagent.status === "running"}>
      <summary>
        <span class="call-icon">
          {subagent.status === "running" ? (
            <span class="spinner" aria-hidden="true" />
          ) : subagent.status === "failed" ? (
            <AlertIcon size={14} />
          ) : (
            <CheckIcon size={14} />
          )}
        </span>
        <span class="subagent-name">{subagent.name}</span>
        <span class="call-status">{words}</span>
        <ChevronIcon size={14} class="call-chevron" />
      </summary>
      <div class="subagent-body">
        {messagesBy(subagent.id, session.messages.value).map((message) => (
          <div key={message.id}>
            {message.role === "assistant" && message.content && <p class="subagent-text">{message.content}</p>}
            {message.role === "assistant" &&
              callsOf(message, facts).map((call) => (
                <CallCard key={call.id} call={call} progress={activity.progress[call.id]} />
              ))}
          </div>
        ))}
        {activity.subagents
          .filter((other) => other.parentId === subagent.id)
          .map((other) => (
            <Subagent key={other.id} session={session} subagent={other} />
          ))}
        {subagent.message && <p class="subagent-error">{subagent.message}</p>}
      </div>
    </details>
  );
}
