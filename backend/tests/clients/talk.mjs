// One user's conversation, held by an official AG-UI client.

import { randomUUID } from "node:crypto";
import { Recorder } from "./wire.mjs";

/** A conversation of one client on one thread; several may share a thread, as devices do. */
export class Talk {
  constructor(client, base, { threadId = `thread-${randomUUID()}`, Agent = client.HttpAgent, path = "/runs" } = {}) {
    this.client = client;
    this.base = base;
    this.threadId = threadId;
    this.recorder = new Recorder();
    this.events = [];
    this.checks = [];
    this.agent = new Agent({ url: base + path, threadId, fetch: this.recorder.fetch });
    this.agent.subscribe({ onEvent: ({ event }) => void this.events.push(event) });
  }

  /** Add a user's message and run; resolves when the run's stream has ended. */
  async say(content, parameters) {
    this.agent.addMessage({ id: `user-${randomUUID()}`, role: "user", content });
    return await this.run(parameters);
  }

  async run(parameters) {
    return await this.agent.runAgent({ runId: `run-${randomUUID()}`, ...parameters });
  }

  /** Start a run and return when its first event of a type has come, with the promise of its end. */
  async sayAndWaitFor(type, content) {
    const came = this.when(type);
    const ended = this.say(content);
    await Promise.race([came, ended.then(() => Promise.reject(new Error(`the run ended without ${type}`)))]);
    return { ended, runId: this.last("RUN_STARTED").runId };
  }

  when(type) {
    return new Promise((resolve) => {
      const { unsubscribe } = this.agent.subscribe({
        onEvent: ({ event }) => {
          if (event.type !== type) return;
          unsubscribe();
          resolve(event);
        },
      });
    });
  }

  /** The same answer to every open interrupt, for `resume`. */
  answers(entry) {
    return this.agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, ...entry }));
  }

  async answer(entry, parameters) {
    return await this.run({ resume: this.answers(entry), ...parameters });
  }

  /** The calls of the last run that nobody has answered. */
  open() {
    const run = this.events.slice(this.events.findLastIndex(({ type }) => type === "RUN_STARTED"));
    const ids = (wanted) => run.filter(({ type }) => type === wanted).map(({ toolCallId }) => toolCallId);
    const answered = ids("TOOL_CALL_RESULT");
    return ids("TOOL_CALL_START").filter((toolCallId) => !answered.includes(toolCallId));
  }

  /** Add the result of one of the client's own tools. */
  result(toolCallId, content, members) {
    this.agent.addMessage({ id: `tool-${randomUUID()}`, role: "tool", toolCallId, content, ...members });
  }

  last(type) {
    return this.events.findLast((event) => event.type === type);
  }

  async history() {
    return await this.get("/history", { threadId: this.threadId, limit: 200 });
  }

  async get(path, parameters) {
    const response = await fetch(`${this.base}${path}?${new URLSearchParams(parameters)}`);
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return await response.json();
  }

  async post(path, body) {
    const response = await fetch(`${this.base}${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  }

  async cancel(runId) {
    return await this.post(`/runs/${runId}/cancel`, { threadId: this.threadId });
  }

  /** Take what GET /history says, as an application does after a reload. */
  async reload() {
    const history = await this.history();
    this.agent.setMessages(history.messages);
    if (history.state !== null) this.agent.setState(history.state);
    this.agent.pendingInterrupts = history.pendingInterrupts;
    return history;
  }

  /** Note what the client holds beside what the server says it should. */
  async check(name) {
    const { messages, state, pendingInterrupts } = this.agent;
    const held = structuredClone({ messages, state, pendingInterrupts });
    this.checks.push({ name, client: held, history: await this.history() });
  }

  report() {
    return {
      threadId: this.threadId,
      events: this.events,
      checks: this.checks,
      streams: this.recorder.streams,
    };
  }
}

/** Run and return how the client rejected, if it did. */
export async function rejection(promise) {
  return await promise.then(
    () => null,
    (error) => ({ message: error.message, status: error.status ?? null }),
  );
}
