// node connected.mjs <client version>: an official client that connects to prepared streams.
//
// Each line of stdin names a file of JSON: [{ name, body, messages, state, pendingInterrupts }, …]. For each entry, a
// new agent that holds nothing connects; `body` is what the server says. The answer is one line of JSON: how many there
// were, and what differs from what the agent should hold.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";

const PACKAGES = { "1.0.0": "@ag-ui/client", "0.0.59": "ag-ui-client-0.0.59" };
const client = await import(PACKAGES[process.argv[2]]);

class ConnectingAgent extends client.HttpAgent {
  connect(input) {
    return client.transformHttpEventStream(client.runHttpRequest(() => this.fetch(this.url, this.requestInit(input))));
  }
}

let complaints = [];
for (const level of ["warn", "error"]) {
  console[level] = (...words) => void complaints.push(words.map(String).join(" "));
}

async function connect({ name, body, messages, state, pendingInterrupts }) {
  complaints = [];
  const agent = new ConnectingAgent({
    url: "http://page.invalid/",
    threadId: "t-1",
    fetch: async () => new Response(body, { headers: { "Content-Type": "text/event-stream" } }),
  });
  const error = await agent.connectAgent().then(
    () => null,
    (reason) => String(reason),
  );
  const held = { messages: agent.messages, state: agent.state, pendingInterrupts: agent.pendingInterrupts };
  const expected = { messages, state, pendingInterrupts };
  const fine = error === null && complaints.length === 0 && isDeepStrictEqual(plain(held), plain(expected));
  return fine ? [] : [{ name, error, complaints, held, expected }];
}

const plain = (value) => JSON.parse(JSON.stringify(value));

for await (const path of createInterface({ input: process.stdin })) {
  const entries = JSON.parse(readFileSync(path, "utf8"));
  const different = [];
  for (const entry of entries) different.push(...(await connect(entry)));
  process.stdout.write(`${JSON.stringify({ count: entries.length, different: different.slice(0, 5) })}\n`);
}
