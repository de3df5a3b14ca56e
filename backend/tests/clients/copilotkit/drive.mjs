// node drive.mjs <base URL>: a front end that talks to the server through the real CopilotKit runtime (see ../serve.mjs).

import * as client from "@ag-ui/client";
import { CopilotRuntime, createCopilotRuntimeHandler, InMemoryAgentRunner } from "@copilotkit/runtime/v2";
import { serve } from "../serve.mjs";

const RUNTIME = "http://page.invalid/copilotkit/agent/default";
const [base] = process.argv.slice(2);

/** The recipe of docs/clients.md: threads come from the server, not from the memory of the runtime. */
class ServerRunner extends InMemoryAgentRunner {
  constructor(fetch) {
    super();
    this.fetch = fetch;
  }

  connect({ threadId, headers }) {
    const init = {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify({ threadId }),
    };
    return client.transformHttpEventStream(client.runHttpRequest(() => this.fetch(`${base}/events`, init)));
  }
}

/** An agent of the page: its requests go to a runtime in this process, whose own agent asks the server. */
class PageAgent extends client.HttpAgent {
  constructor({ url, fetch, ...config }) {
    const agents = { default: new client.HttpAgent({ url, fetch }) };
    const runtime = new CopilotRuntime({ agents, runner: new ServerRunner(fetch) });
    const handle = createCopilotRuntimeHandler({ runtime, basePath: "/copilotkit" });
    super({ ...config, url: `${RUNTIME}/run`, fetch: (target, init) => handle(new Request(target, init)) });
  }

  connect(input) {
    return client.transformHttpEventStream(
      client.runHttpRequest(() => this.fetch(`${RUNTIME}/connect`, this.requestInit(input))),
    );
  }
}

await serve({ ...client, HttpAgent: PageAgent }, base);
