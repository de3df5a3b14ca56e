import type { Message } from "@ag-ui/client";
import { effect } from "@preact/signals";
import { expect, it } from "vitest";
import { MessageStore } from "../../src/session/message-store";

const talk = (...texts: string[]): Message[] => texts.map((content, place) => ({ id: `m${place}`, role: "assistant", content }));

it("draws again what has changed, and nothing else, whatever copies it is given", () => {
  const store = new MessageStore();
  store.show(talk("a", "b"));
  const drawn = { m0: 0, m1: 0, ids: 0 };
  effect(() => void (store.message("m0")?.value, drawn.m0++));
  effect(() => void (store.message("m1")?.value, drawn.m1++));
  effect(() => void (store.ids.value, drawn.ids++));
  const first = store.messages.peek()[0];

  store.show(structuredClone(talk("a", "b")));
  expect(drawn).toEqual({ m0: 1, m1: 1, ids: 1 });
  store.show(structuredClone(talk("a", "bc")));
  expect(drawn).toEqual({ m0: 1, m1: 2, ids: 1 });
  store.show(structuredClone(talk("a", "bc", "d")));
  expect(drawn).toEqual({ m0: 1, m1: 2, ids: 2 });
  expect(store.messages.peek()[0]).toBe(first);
});

it("leads from a tool call to its result, before and after it is there, and when it is replaced", () => {
  const store = new MessageStore();
  const result = store.result("c1");
  expect(result.value).toBeNull();
  store.show([{ id: "r1", role: "tool", toolCallId: "c1", content: "42" }]);
  expect(result.value?.content).toBe("42");
  store.show(talk("again"));
  expect(result.value).toBeNull();
});
