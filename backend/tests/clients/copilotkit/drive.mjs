// node drive.mjs <base URL>: a front end that talks to the server through the real CopilotKit runtime (see ../serve.mjs).

import * as client from "@ag-ui/client";
import { CopilotRuntime, createCopilotRuntimeHandler } from "@copilotkit/runtime/v2";
import { serve } from "../serve.mjs";

/** An agent of the page: its requests go to a runtime in this process, whose own agent asks the server. */
class PageAgent extends client.HttpAgent {
  constructor({ url, fetch, ...config }) {
    const agents = { default: new client.HttpAgent({ url, fetch }) };
    const handle = createCopilotRuntimeHandler({ runtime: new CopilotRuntime({ agents }), basePath: "/copilotkit" });
    super({
      ...config,
      url: "http://page.invalid/copilotkit/agent/default/run",
      fetch: (target, init) => handle(new Request(target, init)),
    });
  }
}

const [base] = process.argv.slice(2);
await serve({ ...client, HttpAgent: PageAgent }, base);
