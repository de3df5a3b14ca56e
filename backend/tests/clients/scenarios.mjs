// What clients do. Each scenario talks to the server as an application would, through the official client,
// and returns what came of it; the tests judge.

import { randomUUID } from "node:crypto";
import { rejection, Talk } from "./talk.mjs";
import { splicing } from "./wire.mjs";

const COLOUR = {
  name: "choose_colour",
  description: "Lets the user choose a colour.",
  parameters: { type: "object", properties: { prompt: { type: "string" } }, required: ["prompt"] },
};
const SHAPE = { ...COLOUR, name: "choose_shape", description: "Lets the user choose a shape." };
const CALL_COLOUR = 'call the tool choose_colour with {"prompt": "Which one?"}';
const CALL_SHAPE = 'call the tool choose_shape with {"prompt": "Which one?"}';
const ASK_CHILD = (task) => `call the tool researcher with ${JSON.stringify({ task })}`;
const APPROVED = { status: "resolved", payload: { approved: true } };

/** A scenario of one device that only says things, with a check after each. */
const saying = (...texts) => async (client, base) => {
  const talk = new Talk(client, base);
  for (const [index, text] of texts.entries()) {
    await talk.say(text);
    await talk.check(`turn ${index + 1}`);
  }
  return talk.report();
};

/** Ask for a tool that needs approval, then answer. */
const approval = (text, answer) => async (client, base) => {
  const talk = new Talk(client, base);
  await talk.say(text);
  await talk.check("interrupted");
  const extra = await answer(talk);
  await talk.check("answered");
  await talk.say("hello");
  await talk.check("went on");
  return { ...talk.report(), ...extra };
};

/** Ask for tools of the client's own, and answer them. */
const clientTool = (text, { content = "blue", ...members } = {}) => async (client, base) => {
  const talk = new Talk(client, base);
  const tools = [COLOUR, SHAPE];
  await talk.say(text, { tools });
  await talk.check("called");
  const calls = talk.open();
  calls.forEach((toolCallId) => talk.result(toolCallId, content, members));
  await talk.run({ tools });
  await talk.check("answered");
  return { ...talk.report(), calls };
};

/** Stop a run when its first event of a type has come. */
const cancelling = (text, type) => async (client, base) => {
  const talk = new Talk(client, base);
  const { ended, runId } = await talk.sayAndWaitFor(type, text);
  const cancel = await talk.cancel(runId);
  await ended;
  await talk.check("cancelled");
  const again = await talk.cancel(runId);
  await talk.say("hello");
  await talk.check("went on");
  return { ...talk.report(), cancel, again, runId };
};

/** The report of the first device, with the checks and streams of the others. */
function together(...talks) {
  const [first, ...others] = talks.map((talk) => talk.report());
  for (const report of others) {
    first.checks.push(...report.checks);
    first.streams.push(...report.streams);
  }
  return first;
}

/** The agent of a page that reloads: the recipe of docs/clients.md, unless its front end has its own. */
function connecting(client, base) {
  if (client.HttpAgent.prototype.connect !== Object.getPrototypeOf(client.HttpAgent.prototype).connect) {
    return client.HttpAgent;
  }
  return class extends client.HttpAgent {
    connect(input) {
      return client.transformHttpEventStream(
        client.runHttpRequest(() => this.fetch(`${base}/events`, this.requestInit(input))),
      );
    }
  };
}

/** What each of several devices holds of a thread, and all there is. */
async function held(...talks) {
  const { messages } = await talks[0].history();
  return { held: talks.map(({ agent }) => agent.messages), messages };
}

/** A talk with an agent of its own URL: a tool, an approval, and the same thread at the address of another agent. */
const withAnotherAgent = async (client, base) => {
  const talk = new Talk(client, base, { path: "/agents/sales/runs" });
  await talk.say("calculate 6*7");
  await talk.check("turn 1");
  await talk.say("remember that I like tea");
  await talk.check("interrupted");
  await talk.answer(APPROVED);
  await talk.check("answered");
  const elsewhere = await talk.post("/agents/assistant/runs", {
    threadId: talk.threadId,
    messages: [{ id: randomUUID(), role: "user", content: "hello" }],
  });
  return { ...talk.report(), elsewhere };
};

export const scenarios = {
  withAnotherAgent,
  text: saying("hello"),
  reasoning: saying("think about it"),
  tool: saying("calculate 6*7"),
  failingTool: saying("calculate 1/0"),
  parallelTools: saying("calculate 6*7 and also what time is it"),
  sequentialTools: saying("calculate 6*7 and then what time is it"),
  everything: saying("think about 6 and calculate 6*7 and then calculate 7*8 and also what time is it"),
  subagents: saying(`${ASK_CHILD("think about 6 and calculate 6*7")} and also ${ASK_CHILD("calculate 7*8")}`, "hello"),
  failingSubagent: saying(ASK_CHILD("fail mid"), "hello"),
  secondTurn: saying("my name is Ada", "what is my name"),
  unicode: saying("Grüße, 世界 👩‍👩‍👧 \u2028 \u0007 and a \"quote\""),
  failure: saying("fail", "hello"),
  failureMidway: saying("fail mid", "hello"),
  emptyAnswer: saying("fail empty", "hello"),
  cutAnswer: saying("fail length", "hello"),

  frontendTool: clientTool(CALL_COLOUR),
  /** The client's own tool beside one of the server's, in one turn of the model. */
  frontendAndServerTool: clientTool(`calculate 6*7 and also ${CALL_COLOUR}`),
  frontendTools: clientTool(`${CALL_COLOUR} and also ${CALL_SHAPE}`),
  frontendToolFailed: clientTool(CALL_COLOUR, { content: "", error: "The user has no colour." }),
  /** Two of the client's own tools, each answered as soon as it is done. */
  async frontendToolsOneByOne(client, base) {
    const talk = new Talk(client, base);
    const tools = [COLOUR, SHAPE];
    await talk.say(`${CALL_COLOUR} and also ${CALL_SHAPE}`, { tools });
    const calls = talk.open();
    for (const toolCallId of calls.toReversed()) {
      talk.result(toolCallId, "blue");
      await talk.run({ tools });
      await talk.check(`answered ${toolCallId}`);
    }
    return { ...talk.report(), calls };
  },
  /** The user goes on talking and leaves the client's own tool without an answer. */
  async frontendToolUnanswered(client, base) {
    const talk = new Talk(client, base);
    await talk.say(CALL_COLOUR, { tools: [COLOUR] });
    const calls = talk.open();
    await talk.say("hello", { tools: [COLOUR] });
    await talk.check("went on");
    return { ...talk.report(), calls };
  },
  /** The answer comes when nobody waits for it any more; the client sends it with everything it says later. */
  async frontendToolAnsweredLate(client, base) {
    const talk = new Talk(client, base);
    await talk.say(CALL_COLOUR, { tools: [COLOUR] });
    const calls = talk.open();
    await talk.say("hello", { tools: [COLOUR] });
    calls.forEach((toolCallId) => talk.result(toolCallId, "blue"));
    const refused = await rejection(talk.say("my name is Ada"));
    return { ...talk.report(), refused };
  },
  /** An answer of parts, and then the messages as a whole. */
  async frontendToolAnsweredInParts(client, base) {
    const talk = new Talk(client, base);
    await talk.say(CALL_COLOUR, { tools: [COLOUR] });
    talk.open().forEach((toolCallId) => talk.result(toolCallId, [{ type: "text", text: "blue" }]));
    await talk.run({ tools: [COLOUR] });
    await talk.check("answered");
    await talk.say("hello", { forwardedProps: { messagesSnapshot: "always" } });
    await talk.check("shown as a whole");
    return talk.report();
  },

  approve: approval("remember that I like tea", async (talk) => {
    await talk.answer(APPROVED);
  }),
  approveThroughResume: approval("remember that I like tea", async (talk) => {
    talk.agent.url = `${talk.base}/resume`;
    await talk.answer(APPROVED);
    talk.agent.url = `${talk.base}/runs`;
  }),
  /** As CopilotKit does. */
  approveUnderTheSameRun: approval("remember that I like tea", async (talk) => {
    await talk.answer(APPROVED, { runId: talk.last("RUN_STARTED").runId });
  }),
  approveEdited: approval("remember that I like tea", async (talk) => {
    await talk.answer({ status: "resolved", payload: { approved: true, input: { text: "I like jam" } } });
  }),
  decline: approval("remember that I like tea", async (talk) => {
    await talk.answer({ status: "resolved", payload: { approved: false } });
  }),
  dismiss: approval("remember that I like tea", async (talk) => {
    await talk.answer({ status: "cancelled" });
  }),
  approveOneOfTwo: approval(
    "remember that I like tea and also calculate 6*7 and also remember that I like jam",
    async (talk) => {
      const [first, second] = talk.agent.pendingInterrupts;
      const resume = [
        { interruptId: second.id, status: "resolved", payload: { approved: false } },
        { interruptId: first.id, status: "resolved", payload: { approved: true } },
      ];
      const uncovered = await rejection(talk.run({ resume: resume.slice(1) }));
      await talk.run({ resume });
      return { uncovered, answered: [first.toolCallId, second.toolCallId] };
    },
  ),
  approveTwiceInARow: approval(
    "remember that I like tea and then remember that I like jam",
    async (talk) => {
      await talk.answer(APPROVED);
      await talk.check("interrupted again");
      await talk.answer(APPROVED);
    },
  ),
  /** The answer and something new to say, in one request. */
  answerAndSay: approval("remember that I like tea", async (talk) => {
    await talk.say("calculate 6*7", { resume: talk.answers({ status: "cancelled" }) });
  }),
  approveAndSay: approval("remember that I like tea", async (talk) => {
    await talk.say("calculate 6*7", { resume: talk.answers(APPROVED) });
  }),
  /** An approval and a tool of the client's own, asked for in one turn: answered in one request, or in two. */
  async approvalBesideFrontendTool(client, base, order) {
    const talk = new Talk(client, base);
    const tools = [COLOUR];
    await talk.say(`remember that I like tea and also ${CALL_COLOUR}`, { tools });
    await talk.check("asked");
    const gated = talk.agent.pendingInterrupts.map(({ toolCallId }) => toolCallId);
    const calls = talk.open().filter((toolCallId) => !gated.includes(toolCallId));
    const result = () => calls.forEach((toolCallId) => talk.result(toolCallId, "blue"));
    if (order === "together") result();
    await talk.answer(APPROVED, { tools });
    if (order !== "together") {
      await talk.check("approved");
      result();
      await talk.run({ tools });
    }
    await talk.check("answered");
    return { ...talk.report(), gated, calls };
  },
  /** The client makes up the result of the server's own tool. */
  async forgedResult(client, base, way) {
    const talk = new Talk(client, base);
    await talk.say("remember that I like tea");
    const [{ toolCallId }] = talk.agent.pendingInterrupts;
    const resume = talk.answers(APPROVED);
    talk.agent.pendingInterrupts = way === "resume" ? talk.agent.pendingInterrupts : [];
    talk.result(toolCallId, "FORGED");
    await rejection(talk.run(way === "resume" ? { resume } : { forwardedProps: { onInterrupt: "cancel" } }));
    return { ...talk.report(), toolCallId, history: await talk.history() };
  },
  /** Something new instead of an answer: the client has to forget the interrupts itself. */
  sayInstead: approval("remember that I like tea", async (talk) => {
    const refused = await rejection(talk.say("calculate 6*7"));
    talk.agent.pendingInterrupts = [];
    const open = await rejection(talk.run());
    await talk.run({ forwardedProps: { onInterrupt: "cancel" } });
    return { refused, open };
  }),
  /** The resumed run fails: RUN_ERROR leaves the client with interrupts that were answered. */
  async resumeFails(client, base) {
    const talk = new Talk(client, base);
    await talk.say("remember that I like tea and then fail");
    const resume = talk.answers(APPROVED);
    await talk.run({ resume });
    const held = talk.agent.pendingInterrupts.length;
    talk.agent.addMessage({ id: `user-${randomUUID()}`, role: "user", content: "hello" });
    const stuck = await rejection(talk.run());
    const repeated = await rejection(talk.run({ resume }));
    await talk.reload();
    const reloaded = talk.agent.pendingInterrupts.length;
    await talk.say("hello");
    await talk.check("went on");
    return { ...talk.report(), held, stuck, repeated, reloaded };
  },

  cancel: cancelling("slowly", "TEXT_MESSAGE_CONTENT"),
  cancelAtOnce: cancelling("slowly", "RUN_STARTED"),
  cancelWhileThinking: cancelling("think about it slowly", "REASONING_MESSAGE_CONTENT"),
  cancelSubagent: cancelling(ASK_CHILD("slowly"), "TEXT_MESSAGE_CONTENT"),
  cancelWhileCalling: cancelling("slowly calculate 6*7", "TOOL_CALL_ARGS"),
  async cancelTheResumedRun(client, base) {
    const talk = new Talk(client, base);
    await talk.say("remember that I like tea and then tell me more slowly");
    const content = talk.when("TEXT_MESSAGE_CONTENT");
    const ended = talk.answer(APPROVED);
    await Promise.race([content, ended]);
    await talk.cancel(talk.last("RUN_STARTED").runId);
    await ended;
    return { ...talk.report(), held: talk.agent.pendingInterrupts.length };
  },

  /** The client leaves; the run does not. */
  async leave(client, base) {
    const talk = new Talk(client, base);
    const { ended, runId } = await talk.sayAndWaitFor("TEXT_MESSAGE_CONTENT", "hello");
    talk.agent.abortRun();
    await ended;
    const tail = new Talk(client, base, { threadId: talk.threadId });
    await tail.recorder
      .fetch(`${base}/events?${new URLSearchParams({ threadId: talk.threadId, runId })}`)
      .then((response) => response.text());
    await talk.reload();
    await talk.say("hello again");
    await talk.check("went on");
    talk.recorder.streams.shift(); // cut by the client
    return together(talk, tail);
  },

  /** The client leaves, and said before that this stops the run. */
  async leaveAndStop(client, base) {
    const talk = new Talk(client, base);
    const come = talk.when("TEXT_MESSAGE_CONTENT");
    const ended = talk.say("slowly", { forwardedProps: { onDisconnect: "cancel" } });
    await come;
    const { runId } = talk.last("RUN_STARTED");
    talk.agent.abortRun();
    await ended;
    talk.recorder.streams.pop(); // cut by the client
    const place = new URLSearchParams({ threadId: talk.threadId, runId });
    await talk.recorder.fetch(`${base}/events?${place}`).then((response) => response.text());
    await talk.reload();
    await talk.say("hello");
    await talk.check("went on");
    return { ...talk.report(), status: (await talk.get(`/runs/${runId}`, { threadId: talk.threadId })).status };
  },

  /** A reload: GET /history is all the new page needs. */
  async reload(client, base) {
    const before = new Talk(client, base);
    await before.say("think about 6 and calculate 6*7");
    const after = new Talk(client, base, { threadId: before.threadId });
    await after.reload();
    await after.say("what is my name");
    await after.check("went on");
    return together(after, before);
  },
  async reloadInterrupted(client, base) {
    const before = new Talk(client, base);
    await before.say("remember that I like tea");
    const after = new Talk(client, base, { threadId: before.threadId });
    await after.reload();
    await after.check("reloaded");
    await after.answer(APPROVED);
    await after.check("answered");
    return together(after, before);
  },
  /**
   * A reload while the run goes on, when its first event of a type has come: the history so far, then the
   * tail, through the client's own reducer. The run is stopped when the tail has been seen to go on.
   */
  async reloadMidway(client, base, type, ...words) {
    const before = new Talk(client, base);
    const { ended, runId } = await before.sayAndWaitFor(type, words.join(" "));
    const after = new Talk(client, base, { threadId: before.threadId });
    const { cursor, activeRun } = await after.reload();
    const { messages, state, threadId } = after.agent;
    const place = new URLSearchParams({ threadId, runId, cursor });
    const tail = client.runHttpRequest(() => after.agent.fetch(`${base}/events?${place}`));
    const onEvent = () => {
      after.tail = (after.tail ?? 0) + 1;
      if (after.tail === 3) void before.cancel(runId);
    };
    await client
      .defaultApplyEvents({ threadId, runId, messages, state }, client.transformHttpEventStream(tail), after.agent, [
        { onEvent },
      ])
      .forEach((change) => void Object.assign(after.agent, change));
    await ended;
    await after.check("caught up");
    await before.check("stayed");
    return { ...together(before, after), cursor, activeRun, runId };
  },
  /**
   * A reload while the run goes on, by `connectAgent()`. The run is stopped when the new page has seen it go on, or
   * goes on to its end (`stop` is "stays").
   */
  async connectMidway(client, base, type, stop, ...words) {
    const before = new Talk(client, base);
    await before.say("my name is Ada");
    const { ended, runId } = await before.sayAndWaitFor(type, words.join(" "));
    const after = new Talk(client, base, { threadId: before.threadId, Agent: connecting(client, base) });
    const opened = after.when("MESSAGES_SNAPSHOT");
    const connected = after.agent.connectAgent();
    await opened;
    if (stop === "stops") await before.cancel(runId);
    await Promise.all([ended, connected]);
    await after.check("caught up");
    await before.check("stayed");
    await after.say("what is my name");
    await after.check("went on");
    return { ...together(after, before), runId };
  },
  /** A reload after a run has ended: the page is told how, and goes on. */
  async connectAfter(client, base, ...words) {
    const before = new Talk(client, base);
    await before.say(words.join(" "));
    const after = new Talk(client, base, { threadId: before.threadId, Agent: connecting(client, base) });
    await after.agent.connectAgent();
    await after.check("reloaded");
    if (after.agent.pendingInterrupts.length > 0) await after.answer(APPROVED);
    else await after.say("hello");
    await after.check("went on");
    return together(after, before);
  },
  /** A page that opens a thread nobody has begun, as CopilotKit does for every new chat. */
  async connectBefore(client, base) {
    const talk = new Talk(client, base, { Agent: connecting(client, base) });
    await talk.agent.connectAgent();
    const held = structuredClone(talk.agent.messages);
    await talk.say("hello");
    await talk.check("went on");
    return { ...talk.report(), held };
  },
  /** A reload on a line that breaks after every n events; `argument` is n. */
  async connectReconnect(client, base, argument) {
    const cuts = [];
    const before = new Talk(client, base);
    const { ended, runId } = await before.sayAndWaitFor("TEXT_MESSAGE_CONTENT", "slowly");
    const after = new Talk(client, base, { threadId: before.threadId, Agent: connecting(client, base) });
    after.agent.fetch = splicing(base, Number(argument), after.recorder, cuts);
    const onEvent = () => {
      if (cuts.length === 5) void before.cancel(runId);
    };
    await Promise.all([after.agent.connectAgent({}, { onEvent }), ended]);
    await after.check("caught up");
    return { ...together(after, before), cuts };
  },

  /** A page that did not see the earlier turns says something, then the one that saw only those: both are behind. */
  async behind(client, base) {
    const first = new Talk(client, base);
    await first.say("think about 6 and calculate 6*7");
    const other = new Talk(client, base, { threadId: first.threadId });
    await other.say("my name is Ada");
    await first.say("what is my name");
    return { ...together(other, first), ...(await held(other, first)) };
  },
  /** A page that loaded only the end of a long history says something. */
  async page(client, base) {
    const first = new Talk(client, base);
    for (const text of ["calculate 6*7", "think about Ada"]) await first.say(text);
    const other = new Talk(client, base, { threadId: first.threadId });
    const { messages } = await other.get("/history", { threadId: first.threadId, limit: 3 });
    other.agent.setMessages(messages);
    await other.say("what is my name");
    return { ...together(other, first), ...(await held(other)) };
  },

  /** Another answer to the last question; the client drops the first answer itself, edits the question, or does nothing. */
  async regenerate(client, base, way) {
    const talk = new Talk(client, base);
    await talk.say("my name is Ada");
    // No reasoning: of an answer that is replaced, the official client keeps it when a snapshot has none.
    await talk.say("calculate 6*7");
    const { messages } = talk.agent;
    const place = messages.findLastIndex(({ role }) => role === "user");
    const { id } = messages[place];
    if (way === "truncated") talk.agent.setMessages(messages.slice(0, place + 1));
    if (way === "edited") talk.agent.setMessages(messages.slice(0, place));
    const forwardedProps = { regenerateFrom: id };
    await (way === "edited" ? talk.say("what is my name", { forwardedProps }) : talk.run({ forwardedProps }));
    await talk.check("answered again");
    await talk.say("hello");
    await talk.check("went on");
    return talk.report();
  },

  /** A conversation that was held elsewhere comes along with the first run. */
  async imported(client, base) {
    const talk = new Talk(client, base);
    talk.agent.setMessages([
      { id: "earlier-1", role: "user", content: "my name is Ada" },
      { id: "earlier-2", role: "assistant", content: "Hello Ada." },
    ]);
    await talk.say("what is my name");
    await talk.check("answered");
    return talk.report();
  },
  /** The same with tools, whose messages are not taken over. */
  async importedWithTools(client, base) {
    const talk = new Talk(client, base);
    const call = { id: "call-1", type: "function", function: { name: "lookup", arguments: "{}" } };
    talk.agent.setMessages([
      { id: "earlier-1", role: "user", content: "look it up" },
      { id: "earlier-2", role: "assistant", content: "", toolCalls: [call] },
      { id: "earlier-3", role: "tool", toolCallId: "call-1", content: "found" },
      { id: "earlier-4", role: "assistant", content: "I found it." },
    ]);
    const refused = [await rejection(talk.say("my name is Ada")), await rejection(talk.say("what is my name"))];
    return { ...talk.report(), refused };
  },
  async picture(client, base) {
    const talk = new Talk(client, base);
    const source = { type: "data", value: "iVBORw0KGgo=", mimeType: "image/png" };
    await talk.say([
      { type: "text", text: "what is this" },
      { type: "image", source },
    ]);
    await talk.check("answered");
    return talk.report();
  },

  async sharedState(client, base) {
    const talk = new Talk(client, base);
    talk.agent.setState({ count: 1, items: [] });
    await talk.say("hello");
    await talk.check("sent");
    const patch = [
      { op: "replace", path: "/count", value: 2 },
      { op: "add", path: "/items/-", value: "tea" },
    ];
    await talk.say(`call the tool update_state with ${JSON.stringify({ operations: patch })}`);
    await talk.check("changed by the agent");
    talk.agent.setState({ count: 3 });
    await talk.say("hello");
    await talk.check("changed by the application");
    return talk.report();
  },
  async emptiedState(client, base) {
    const talk = new Talk(client, base);
    talk.agent.setState({ count: 1 });
    await talk.say("hello");
    talk.agent.setState({});
    await talk.say("hello");
    await talk.check("emptied");
    return { ...talk.report(), state: talk.agent.state };
  },

  async busy(client, base) {
    const talk = new Talk(client, base);
    const { ended, runId } = await talk.sayAndWaitFor("TEXT_MESSAGE_CONTENT", "slowly");
    const other = new Talk(client, base, { threadId: talk.threadId });
    const refused = await rejection(other.say("hello"));
    other.agent.setMessages([]);
    const waiting = other.say("my name is Ada", { forwardedProps: { onBusy: "enqueue" } });
    await talk.cancel(runId);
    await Promise.all([ended, waiting]);
    await talk.reload();
    await talk.check("reloaded");
    return { ...together(talk, other), refused };
  },

  /** The same request twice, as after a lost answer: one run, and the same bytes. */
  async repeat(client, base) {
    const talk = new Talk(client, base);
    const runId = `run-${randomUUID()}`;
    const message = { id: `user-${randomUUID()}`, role: "user", content: "calculate 6*7" };
    const other = new Talk(client, base, { threadId: talk.threadId });
    for (const { agent } of [talk, other]) agent.setMessages([message]);
    await Promise.all([talk.run({ runId }), other.run({ runId })]);
    await talk.check("first");
    await other.check("second");
    return together(talk, other);
  },

  /** The line breaks after every n events; `argument` is n. */
  async reconnect(client, base, argument) {
    const cuts = [];
    const talk = new Talk(client, base);
    talk.agent.fetch = splicing(base, Number(argument), talk.recorder, cuts);
    await talk.say("think about 6 and calculate 6*7");
    await talk.check("answered");
    return { ...talk.report(), cuts };
  },

  /** Other devices show a run from its first event, through `connect()`: one that ended, one that goes on, one of two segments. */
  async connect(client, base) {
    const talk = new Talk(client, base);
    const Agent = class extends client.HttpAgent {
      connect({ threadId, runId }) {
        const url = `${base}/events?${new URLSearchParams({ threadId, runId })}`;
        return client.transformHttpEventStream(client.runHttpRequest(() => this.fetch(url)));
      }
    };
    const [other, third] = [1, 2].map(() => new Talk(client, base, { threadId: talk.threadId, Agent }));
    await talk.say("my name is Ada");
    other.agent.setMessages(talk.agent.messages.slice(0, 1));
    await other.agent.connectAgent({ runId: talk.last("RUN_STARTED").runId });
    await other.check("one run, replayed");

    const text = "think about 6 and remember that I like tea";
    const { ended, runId } = await talk.sayAndWaitFor("REASONING_MESSAGE_CONTENT", text);
    other.agent.addMessage(talk.agent.messages.findLast(({ role }) => role === "user"));
    third.agent.setMessages(other.agent.messages);
    await other.agent.connectAgent({ runId });
    await ended;
    await other.check("another, live");

    await other.answer(APPROVED, { runId });
    await other.check("answered");
    await third.agent.connectAgent({ runId });
    await third.check("both segments, replayed");
    return together(other, talk, third);
  },
};
