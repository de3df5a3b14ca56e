/** The official agent with `connectAgent()`: a page after a reload gets everything so far, then the live run. */
import { HttpAgent, runHttpRequest, transformHttpEventStream, type RunAgentInput } from "@ag-ui/client";

/**
 * An `HttpAgent` that connects. Its `url` is that of the runs, for example `/api/v1/agent/runs`.
 *
 * `await agent.connectAgent()` resolves when the live run has ended, at once if there is none. Then `messages`, `state`
 * and `pendingInterrupts` are those of the thread. Connect with a new agent: one that holds open interrupts refuses to.
 */
export class ConnectingAgent extends HttpAgent {
  protected override connect(input: RunAgentInput) {
    const url = this.url.replace(/\/runs\/?$/, "/events");
    return transformHttpEventStream(runHttpRequest(() => this.fetch(url, this.requestInit(input))));
  }
}
