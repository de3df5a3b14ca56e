/** The agent asks before it acts: every open question of the run, with its buttons. */
import { useAgent, useInterrupt, type InterruptRenderProps } from "@copilotkit/react-core/v2";

/** Show open questions inside the chat. The run goes on when all of them are answered. */
export function Approvals() {
  useInterrupt({ render: (props) => <Questions {...props} /> });
  return null;
}

function Questions({ interrupts, resolve, cancel }: InterruptRenderProps) {
  const { agent } = useAgent({ agentId: "default" });
  const calls = agent.messages.flatMap((message) => (message.role === "assistant" ? (message.toolCalls ?? []) : []));
  return (
    <div className="questions">
      {interrupts.map(({ id, message, toolCallId }) => (
        <section key={id} aria-label="Question of the agent">
          <p>{message}</p>
          <pre>{calls.find((call) => call.id === toolCallId)?.function.arguments}</pre>
          <button onClick={() => void resolve({ approved: true }, id)}>Approve</button>
          <button onClick={() => void cancel(id)}>Decline</button>
        </section>
      ))}
    </div>
  );
}
