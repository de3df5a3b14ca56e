import type { Message } from "@ag-ui/client";
import { signal } from "@preact/signals";
import { describe, expect, it, vi } from "vitest";
import { pendingClientCalls, readThread } from "../../src/cards/tool-calls";
import { CarryOut } from "../../src/client-tools/carry-out";
import { Claims, type Exclusive } from "../../src/client-tools/claims";
import { setThemeTool } from "../../src/client-tools/set-theme";
import { showChartTool } from "../../src/client-tools/show-chart";
import { Problem, type RunView, type ThreadSession } from "../../src/session/types";

class Shelf implements Storage {
  readonly kept = new Map<string, string>();
  [name: string]: unknown;
  get length() {
    return this.kept.size;
  }
  key = (place: number) => [...this.kept.keys()][place] ?? null;
  getItem = (name: string) => this.kept.get(name) ?? null;
  setItem = (name: string, text: string) => void this.kept.set(name, text);
  removeItem = (name: string) => void this.kept.delete(name);
  clear = () => this.kept.clear();
}

function lock(): Exclusive {
  let last: Promise<unknown> = Promise.resolve();
  return async (_, work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return await mine;
  };
}

const call = (id: string, name: string, args: object) => ({ id, type: "function" as const, function: { name, arguments: JSON.stringify(args) } });
const asked = (...calls: ReturnType<typeof call>[]): Message[] => [
  { id: "u", role: "user", content: "x" },
  { id: "a", role: "assistant", toolCalls: calls },
];
const DARK = call("c", "set_theme", { theme: "dark" });
const RUN: RunView = { runId: "r", status: "running", stages: [], error: null };

function page(messages: Message[], options: { own?: boolean; shelf?: Shelf; exclusive?: Exclusive } = {}) {
  const { own = true, shelf = new Shelf(), exclusive = lock() } = options;
  const themes: string[] = [];
  const answerToolCalls = vi.fn(async () => undefined as void);
  const session = {
    messages: signal(messages),
    interrupts: signal([]),
    run: signal<RunView>(RUN),
    isOwn: () => own,
    answerToolCalls,
  };
  const tools = [setThemeTool((theme) => themes.push(theme)), showChartTool];
  const answered = vi.fn(async () => new Set<string>());
  const carryOut = new CarryOut(session as unknown as ThreadSession, tools, new Claims(shelf, exclusive), answered);
  const pending = () => pendingClientCalls(readThread(session.messages.value, [], session.run.value));
  const end = () => void (session.run.value = { ...RUN, status: "succeeded" });
  return { carryOut, session, themes, answerToolCalls, answered, pending, end };
}

describe("CarryOut", () => {
  it("answers what a run of this window leaves open, when the run has ended", async () => {
    const { carryOut, themes, answerToolCalls, end } = page(asked(DARK, call("d", "show_chart", { title: "T", values: [1] })));
    carryOut.watch();
    expect(answerToolCalls).not.toHaveBeenCalled();
    end();
    await vi.waitFor(() => expect(answerToolCalls).toHaveBeenCalledTimes(1));
    expect(answerToolCalls.mock.calls[0]).toEqual([
      [
        { toolCallId: "c", content: "The page now has the dark theme." },
        { toolCallId: "d", content: "The user sees a bar chart “T” of 1 values." },
      ],
    ]);
    expect(themes).toEqual(["dark"]);
  });

  it("leaves the runs of other windows alone, and calls of other applications", async () => {
    const other = page(asked(DARK), { own: false });
    const foreign = page(asked(DARK, call("x", "open_door", {})));
    for (const each of [other, foreign]) {
      each.carryOut.watch();
      each.end();
      await Promise.resolve();
      expect(each.answerToolCalls).not.toHaveBeenCalled();
      expect(each.themes).toEqual([]);
    }
  });

  it("carries a call out once, in however many windows it is asked for", async () => {
    const shared = { shelf: new Shelf(), exclusive: lock() };
    const windows = [page(asked(DARK), shared), page(asked(DARK), shared)];
    for (const each of windows) each.end();
    await Promise.all(windows.flatMap((each) => [each.carryOut.answer(each.pending()), each.carryOut.answer(each.pending())]));
    expect(windows.flatMap((each) => each.themes)).toEqual(["dark"]);
    for (const each of windows) expect(each.answerToolCalls).toHaveBeenCalledTimes(1);
  });

  it("sends an answer that was lost again, without carrying the call out again", async () => {
    const { carryOut, themes, answerToolCalls, pending, end } = page(asked(DARK));
    end();
    answerToolCalls.mockRejectedValueOnce(new Problem("network", "x", 0, true));
    await carryOut.answer(pending());
    expect(carryOut.state.value).toEqual({ busy: new Set(), problem: "No connection: the result was not sent. Try again." });
    await carryOut.answer(pending());
    expect(themes).toEqual(["dark"]);
    expect(answerToolCalls.mock.calls[1]).toEqual([[{ toolCallId: "c", content: "The page now has the dark theme." }]]);
  });

  it("does nothing for a call that another device has answered, as a page does not know that has slept", async () => {
    const { carryOut, themes, answerToolCalls, answered, pending, end } = page(asked(DARK));
    end();
    answered.mockRejectedValueOnce(new Problem("network", "x", 0, true)).mockResolvedValueOnce(new Set(["c"]));
    await carryOut.answerAsked(pending());
    expect(carryOut.state.value.problem).toBe("No connection: the result was not sent. Try again.");
    await carryOut.answerAsked(pending());
    expect(carryOut.state.value).toEqual({ busy: new Set(["c"]), problem: null });
    expect([themes, answerToolCalls.mock.calls]).toEqual([[], []]);
  });

  it.each([
    new Problem("run-active", "x", 409, true),
    new Problem("invalid-request", "x", 422, false, null, null, [{ pointer: "/messages/0/toolCallId", message: "x" }]),
  ])("says that another device was faster: %j", async (refusal) => {
    const { carryOut, answerToolCalls, pending, end } = page(asked(DARK));
    end();
    answerToolCalls.mockRejectedValueOnce(refusal);
    await carryOut.answerAsked(pending());
    expect(carryOut.state.value.problem).toBe("Another device was faster: this result does not count.");
  });

  it("tells the model what is wrong with its arguments", async () => {
    const { carryOut, answerToolCalls, pending, end } = page(asked(call("c", "set_theme", { theme: "pink" })));
    end();
    await carryOut.answer(pending());
    const message = "'theme' must be 'light', 'dark' or 'system'.";
    expect(answerToolCalls.mock.calls[0]).toEqual([[{ toolCallId: "c", content: `Error: ${message}`, error: message }]]);
  });
});

it("forgets the oldest claims", async () => {
  const shelf = new Shelf();
  shelf.setItem("other", "kept");
  const claims = new Claims(shelf, lock());
  for (let at = 0; at < 205; at++) await claims.once(`c${at}`, async () => ({ toolCallId: `c${at}`, content: "ok" }), at);
  expect([shelf.length, claims.find("c0"), claims.find("c204")?.content, shelf.getItem("other")]).toEqual([201, null, "ok", "kept"]);
});
