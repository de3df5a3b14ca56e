import { afterEach, expect, test, vi } from "vitest";
import { finished, openSession, playBrowser, snapshot, started, stream, user } from "./played-service";

playBrowser();
afterEach(() => void vi.restoreAllMocks());

const text = (type: string, more: object = {}) => ({ type: `TEXT_MESSAGE_${type}`, messageId: "a-1", ...more });
const begin = (...more: [string, object][]) =>
  stream(["1-2.1", started("r-1")], ["1-2", snapshot(user("m-1"))], ...more);

/** Streams that break a rule of the protocol, and a word of each that comes after the breach. */
const BROKEN: Record<string, () => Response> = {
  "text of a message that has not begun": () => begin(["1-3", text("CONTENT", { delta: "never" })]),
  "a message that begins twice": () =>
    begin(["1-3", text("START", { role: "assistant" })], ["1-4", text("START", { role: "assistant" })], ["1-5", text("CONTENT", { delta: "never" })]),
  "a run that ends with an open message": () =>
    begin(["1-3", text("START", { role: "assistant" })], ["1-4", finished("r-1")], ["1-5", text("CONTENT", { delta: "never" })]),
  "an event before the beginning of a run": () =>
    stream(["1-1.1", text("START", { role: "assistant" })], ["1-1", text("CONTENT", { delta: "never" })]),
};

test.each(Object.keys(BROKEN))("nothing is shown of %s: the fault is told, and the thread is opened anew", async (name) => {
  const told = vi.spyOn(console, "error").mockImplementation(() => {});
  const shown: string[] = [];
  let opened = 0;
  const session = await openSession({
    isNew: false,
    connect: async () => {
      opened++;
      if (opened === 1) return BROKEN[name]!();
      return begin(
        ["1-3", text("START", { role: "assistant" })],
        ["1-4", text("CONTENT", { delta: "as it is" })],
        ["1-5", text("END")],
        ["1-6", finished("r-1")],
      );
    },
  });
  const stop = session.messages.subscribe((messages) => void shown.push(JSON.stringify(messages)));
  await vi.waitFor(() => expect(session.messages.value.at(-1)).toMatchObject({ id: "a-1", content: "as it is" }), { timeout: 30_000 });
  stop();
  session.close();
  expect(opened).toBe(2);
  expect(told).toHaveBeenCalled();
  expect(shown.join("\n")).not.toContain("never");
}, 60_000);
