import { beforeEach, expect, test, vi } from "vitest";
import { described } from "../../src/chat/attachments/parts";
import { attachmentsOf, contentOf } from "../../src/chat/composer/content";
import { forgetOldDrafts, loadDraft, saveDraft } from "../../src/chat/composer/drafts";
import { whatEnterDoes } from "../../src/chat/composer/keys";
import { answeredBy, lastQuestion } from "../../src/session/turns";
import { textOf } from "../../src/session/message-parts";
import { clock, microphoneRefusal } from "../../src/chat/microphone/recorder";
import { MemoryStorage } from "../../src/session/memory-storage";

beforeEach(() => vi.stubGlobal("localStorage", new MemoryStorage()));

const pressed = (change: object) => ({
  key: "Enter", shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, isComposing: false, keyCode: 13, ...change,
});
const idle = { isBusy: false, isTouch: false };

test.each([
  [{}, idle, "send"],
  [{ key: "a" }, idle, null],
  [{ shiftKey: true }, idle, null],
  [{ altKey: true }, idle, null],
  [{ isComposing: true }, idle, null],
  [{ keyCode: 229 }, idle, null],
  [{ ctrlKey: true }, idle, "send"],
  [{}, { isBusy: true, isTouch: false }, "send"],
  [{ ctrlKey: true }, { isBusy: true, isTouch: false }, "interrupt"],
  [{ metaKey: true }, { isBusy: true, isTouch: false }, "interrupt"],
  [{}, { isBusy: false, isTouch: true }, null],
])("Enter with %o, %o: %s", (change, now, does) => {
  expect(whatEnterDoes(pressed(change), now)).toBe(does);
});

test("a draft is kept for each thread, and an empty one forgotten", () => {
  const file = { fileId: "f", name: "a.png", mediaType: "image/png", bytes: 3 };
  saveDraft("t-1", { text: "half a", files: [file] });
  saveDraft("t-2", { text: "another", files: [] });
  expect(loadDraft("t-1")).toEqual({ text: "half a", files: [file] });
  saveDraft("t-1", { text: "", files: [] });
  expect(loadDraft("t-1")).toEqual({ text: "", files: [] });
  expect(loadDraft("t-2").text).toBe("another");
});

test("drafts of more than a month ago, and what is no draft, are forgotten", () => {
  saveDraft("old", { text: "x", files: [] });
  localStorage.setItem("agentroute.draft.odd", "{}");
  localStorage.setItem("other", "stays");
  forgetOldDrafts(Date.now() + 29 * 24 * 3600_000);
  expect(Object.keys(localStorage).sort()).toEqual(["agentroute.draft.old", "other"]);
  forgetOldDrafts(Date.now() + 31 * 24 * 3600_000);
  expect(Object.keys(localStorage)).toEqual(["other"]);
});

test("a damaged draft is no draft", () => {
  localStorage.setItem("agentroute.draft.t", "{");
  expect(loadDraft("t")).toEqual({ text: "", files: [] });
});

test("text and attachments come together and apart", () => {
  const part = { type: "image" as const, source: { type: "file" as const, value: "f", mimeType: "image/png" }, metadata: { filename: "a.png" } };
  expect(contentOf("hello", [])).toBe("hello");
  const content = contentOf("hello", [part]);
  expect(content).toEqual([{ type: "text", text: "hello" }, part]);
  expect(contentOf("", [part])).toEqual([part]);
  expect([textOf(content), textOf("x"), attachmentsOf(content)]).toEqual(["hello", "x", [part]]);
  expect(textOf([{ type: "text", text: "one" }, part, { type: "text", text: "two" }])).toBe("one\n\ntwo");
  expect(described(part)).toEqual({ kind: "image", fileId: "f", name: "a.png", mediaType: "image/png", address: null, bytes: 0 });
});

test("an answer ends with its last message, and belongs to the question before it", () => {
  const messages = [
    { id: "a0", role: "assistant" as const, content: "greeting" },
    { id: "u1", role: "user" as const, content: "one" },
    { id: "a1", role: "assistant" as const, content: "…" },
    { id: "t1", role: "tool" as const, toolCallId: "c", content: "6" },
    { id: "a2", role: "assistant" as const, content: "…" },
    { id: "u2", role: "user" as const, content: "two" },
    { id: "u3", role: "user" as const, content: "three" },
    { id: "a3", role: "assistant" as const, content: "…" },
  ];
  expect([...answeredBy(messages)]).toEqual([["a2", "u1"], ["a3", "u3"]]);
  expect(lastQuestion(messages)).toBe("u3");
  expect(lastQuestion([])).toBeNull();
});

test("a clock, and words for a microphone that cannot be used", () => {
  expect([0, 59.9, 61, 600].map(clock)).toEqual(["0:00", "0:59", "1:01", "10:00"]);
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "InsecureContext", "Odd"]) {
    const { title, advice } = microphoneRefusal(name);
    expect([title, advice].every((text) => /^[A-Z].*\.$/.test(text))).toBe(true);
  }
});
