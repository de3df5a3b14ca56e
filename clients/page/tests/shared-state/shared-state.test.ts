import { signal } from "@preact/signals";
import { describe, expect, it } from "vitest";
import type { RunView, ThreadSession } from "../../src/session/types";
import { depthOf } from "../../src/shared-state/limits";
import { changedPlaces, differences, inShort, removeAt, setAt } from "../../src/shared-state/paths";
import { SharedStore } from "../../src/shared-state/shared-store";

it("changes a value at a place, and leaves the one before as it was", () => {
  const before = { list: ["a", "b"], more: { n: 1 } };
  expect(setAt(before, ["list", 1], "c")).toEqual({ list: ["a", "c"], more: { n: 1 } });
  expect(setAt(before, ["new"], 1)).toEqual({ ...before, new: 1 });
  expect(setAt(before, [], 5)).toBe(5);
  expect(removeAt(before, ["list", 0])).toEqual({ list: ["b"], more: { n: 1 } });
  expect(removeAt(before, ["more", "n"])).toEqual({ list: ["a", "b"], more: {} });
  expect(before).toEqual({ list: ["a", "b"], more: { n: 1 } });
});

it.each([
  [{ a: 1 }, { a: 1 }, []],
  [{ a: 1 }, { a: 2 }, [["/a", 1, 2]]],
  [{ a: [1] }, { a: [1, 2] }, [["/a/1", undefined, 2]]],
  [{ a: [1, 2] }, { a: [1] }, [["/a/1", 2, undefined]]],
  [{ a: { b: 1 } }, { a: { "c/d": 1 } }, [["/a/c~1d", undefined, 1], ["/a/b", 1, undefined]]],
  [{ a: 1 }, { a: [1] }, [["/a", 1, [1]]]],
  [null, { a: 1 }, [["", null, { a: 1 }]]],
])("finds where %j and %j differ", (before, after, expected) => {
  expect(differences(before, after).map((one) => [one.pointer, one.before, one.after])).toEqual(expected);
});

it("marks what was removed where it was, and what holds a change", () => {
  expect(changedPlaces({ a: { b: [1, 2] } }, { a: { b: [1] } })).toEqual({ exact: new Set(["/a/b"]), holders: new Set(["", "/a"]) });
});

it.each([[undefined, "nothing"], ["x", "“x”"], [{ a: 1 }, '{"a":1}']])("tells %j in short", (value, text) => expect(inShort(value)).toBe(text));

it("counts levels", () => expect([depthOf(1), depthOf([]), depthOf({ a: [{ b: 1 }] })]).toEqual([0, 1, 3]));

describe("SharedStore", () => {
  function open(first: unknown) {
    const agentState = signal<unknown>(first);
    const run = signal<RunView | null>({ runId: "r1", status: "succeeded", stages: [], error: null });
    const sent: unknown[] = [];
    const session = { agentState, run, editState: (value: unknown) => sent.push(value) } as unknown as ThreadSession;
    const store = new SharedStore(session);
    const agent = (value: unknown, runId = run.value!.runId) => {
      run.value = { ...run.value!, runId };
      agentState.value = value;
    };
    return { store, sent, agent, shared: () => store.shared.value };
  }

  it("keeps an edit until the service has it", () => {
    const { store, sent, agent, shared } = open({ list: [] });
    store.edit({ list: ["milk"] });
    expect([shared().draft?.value, sent]).toEqual([{ list: ["milk"] }, [{ list: ["milk"] }]]);
    agent({ list: ["milk"] }, "r2");
    expect([shared().draft, shared().conflict, shared().changed.size]).toEqual([null, null, 0]);
  });

  it("marks what the assistant changed, until its next run", () => {
    const { agent, shared } = open({ list: ["milk"] });
    agent({ list: ["milk", "tea"] }, "r2");
    agent({ list: ["milk", "tea"], done: true });
    expect([...shared().changed].sort()).toEqual(["/done", "/list/1"]);
    agent({ list: ["milk", "tea"], done: true }, "r3");
    expect(shared().changed.size).toBe(0);
  });

  it("shows the assistant's state when it was faster, and keeps the user's draft beside it", () => {
    const { store, sent, agent, shared } = open({ list: ["milk"] });
    store.edit({ list: ["milk", "bread"] });
    agent({ list: ["tea"] }, "r2");
    expect([shared().draft, shared().agent, shared().conflict?.value]).toEqual([null, { list: ["tea"] }, { list: ["milk", "bread"] }]);
    expect(sent.at(-1)).toBeUndefined();
    store.settle({ list: ["milk", "bread"] });
    expect([shared().conflict, shared().draft?.value, sent.at(-1)]).toEqual([null, { list: ["milk", "bread"] }, { list: ["milk", "bread"] }]);
  });

  it("has nothing left to decide when all of the user's edit is taken over place by place", () => {
    const { store, agent, shared } = open({ a: 1, b: 1 });
    store.edit({ a: 2, b: 2 });
    agent({ a: 3, b: 3 }, "r2");
    store.edit({ a: 2, b: 3 });
    expect(shared().conflict).not.toBeNull();
    store.edit({ a: 2, b: 2 });
    expect([shared().conflict, shared().draft]).toEqual([null, { value: { a: 2, b: 2 } }]);
  });

  it("drops the user's draft on the user's word, and an edit that changes nothing is none", () => {
    const { store, sent, agent, shared } = open({ n: 1 });
    store.edit({ n: 2 });
    agent({ n: 3 }, "r2");
    store.settle();
    expect([shared().conflict, shared().draft]).toEqual([null, null]);
    store.edit({ n: 3 });
    expect([shared().draft, sent.at(-1)]).toEqual([null, undefined]);
  });
});
