import { beforeEach, expect, test, vi } from "vitest";
import { Outbox } from "../../src/chat/composer/outbox";
import { Problem } from "../../src/session/types";
import { FakeSession } from "./fake-session";
import { MemoryStorage } from "../../src/session/memory-storage";

let listeners: Record<string, () => void>;
let session: FakeSession;

beforeEach(() => {
  listeners = {};
  vi.stubGlobal("localStorage", new MemoryStorage());
  vi.stubGlobal("addEventListener", (name: string, listener: () => void) => (listeners[name] = listener));
  vi.stubGlobal("removeEventListener", (name: string) => delete listeners[name]);
  session = new FakeSession();
});

const network = () => new Problem("network", "no network", 0, true);

test("an accepted message leaves nothing behind", async () => {
  const outbox = new Outbox(session.asSession);

  expect(await outbox.send("hello")).toBe(true);

  expect(outbox.unsent.value).toEqual([]);
  expect(Object.keys(localStorage)).toEqual([]);
});

test("a message is marked until the service has accepted it", async () => {
  const outbox = new Outbox(session.asSession);
  const sending = outbox.send("hello", { messageId: "m-1" });

  expect(outbox.isSending("m-1")).toBe(true);
  await sending;
  expect(outbox.isSending("m-1")).toBe(false);
});

test("a refused message keeps its text, and the time before which no other try helps", async () => {
  session.refusals = [new Problem("rate-limited", "slow down", 429, true, 7)];
  const outbox = new Outbox(session.asSession);
  const before = Date.now();

  expect(await outbox.send("hello")).toBe(false);

  const [entry] = outbox.unsent.value;
  expect(entry!.content).toBe("hello");
  expect(entry!.retryAt! - before).toBeGreaterThanOrEqual(7000);
  expect(entry!.retryAt! - Date.now()).toBeLessThanOrEqual(7000);
});

test("another try is the same message, with what the user has decided meanwhile", async () => {
  session.refusals = [new Problem("interrupt-open", "answer first", 409, false)];
  const outbox = new Outbox(session.asSession);
  await outbox.send("hello", { messageId: "m-1" });

  expect(await outbox.retry("m-1", { onInterrupt: "cancel" })).toBe(true);

  expect(session.sent[1]).toEqual({ content: "hello", options: { messageId: "m-1", onInterrupt: "cancel" } });
  expect(outbox.unsent.value).toEqual([]);
});

test("what only the network refused is sent in order when it is back", async () => {
  session.refusals = [network(), network(), new Problem("invalid-text", "no", 422, false)];
  const outbox = new Outbox(session.asSession);
  const end = outbox.watchNetwork();
  for (const text of ["one", "two", "three"]) await outbox.send(text);

  listeners.online!();
  await vi.waitFor(() => expect(session.sent.length).toBe(5));
  await vi.waitFor(() => expect(outbox.unsent.value.map((one) => one.content)).toEqual(["three"]));

  expect(session.sent.slice(3).map((one) => one.content)).toEqual(["one", "two"]);
  end();
  expect(listeners.online).toBeUndefined();
});

test("over a reload an unsent message is still there, unless the thread has it", async () => {
  session.show([{ id: "m-0", role: "user", content: "first" }]);
  session.refusals = [network(), network()];
  const before = new Outbox(session.asSession);
  await before.send("lost?", { messageId: "m-1" });
  await before.send("lost!", { messageId: "m-2" });

  const after = new Outbox(session.asSession);
  expect(after.unsent.value.map(({ id, problem }) => [id, problem.code])).toEqual([
    ["m-1", "unsent"],
    ["m-2", "unsent"],
  ]);
  session.show([...session.messages.peek(), { id: "m-1", role: "user", content: "lost?" }]);
  expect(after.unsent.value.map(({ id }) => id)).toEqual(["m-2"]);
});

test("over a reload every message that was on its way is still there", async () => {
  const outbox = new Outbox(session.asSession);
  const kept = () => new Outbox(new FakeSession().asSession).unsent.value.map(({ id }) => id);
  const answers: (() => void)[] = [];
  session.send = () => new Promise((resolve) => answers.push(resolve));
  const sending = ["m-1", "m-2"].map((messageId) => outbox.send(messageId, { messageId }));

  expect(kept()).toEqual(["m-1", "m-2"]);
  answers[1]!();
  await sending[1];
  expect(kept()).toEqual(["m-1"]);
  answers[0]!();
  await sending[0];
  expect(kept()).toEqual([]);
});

test("a message can be taken back to be changed", async () => {
  session.refusals = [network()];
  const outbox = new Outbox(session.asSession);
  await outbox.send("hello", { messageId: "m-1" });

  expect(outbox.take("m-1")).toBe("hello");

  expect(outbox.unsent.value).toEqual([]);
  expect(outbox.take("m-1")).toBeNull();
});

test("a browser that stores nothing still sends", async () => {
  vi.stubGlobal("localStorage", { getItem: () => null, setItem: () => { throw new Error("full"); }, removeItem: () => { throw new Error("off"); } });
  expect(await new Outbox(session.asSession).send("hello")).toBe(true);
});
