import { signal } from "@preact/signals";
import type { Interrupt, Message } from "@ag-ui/client";
import { describe, expect, it, vi } from "vitest";
import { expiryOf } from "../../src/cards/expiry";
import { QuestionStore } from "../../src/cards/question-store";
import { emptyDraft, entryOf, questionOf } from "../../src/cards/questions";
import { complaintsAbout, resumeProblem } from "../../src/cards/resume-problem";
import { Problem, type ThreadSession } from "../../src/session/types";

const yes = { approved: { type: "boolean" } };
const schema = (more: object = {}) => ({ type: "object", properties: { ...yes, ...more }, required: ["approved"], additionalProperties: false });
const URL_INPUT = { input: { type: "object", properties: { url: { type: "string" } }, required: ["url"] } };
const call = { id: "c", type: "function" as const, function: { name: "fetch_url", arguments: '{"url":"https://a/"}' } };
const messages: Message[] = [{ id: "a", role: "assistant", toolCalls: [call] }];
const interrupt = (more: Partial<Interrupt> = {}): Interrupt => ({ id: "i", reason: "tool_approval", toolCallId: "c", responseSchema: schema(), ...more });
const question = (more: Partial<Interrupt> = {}) => questionOf(interrupt(more), messages);
const approve = { ...emptyDraft(), decision: "approve" as const };
const decline = { ...emptyDraft(), decision: "decline" as const };

describe("questionOf", () => {
  it.each([
    ["approval", {}],
    ["approval", { reason: "budget_exhausted" }],
    ["approval", { reason: "something_new" }],
    ["connection", { reason: "connection_required", responseSchema: { type: ["object", "null"], properties: yes } }],
    ["form", { reason: "question", responseSchema: { type: "string" } }],
    ["form", { reason: "question", responseSchema: { type: "object", properties: { city: { type: "string" } } } }],
    ["notice", { reason: "notice", responseSchema: undefined }],
  ])("is of the kind %s", (kind, more) => expect(question(more as Partial<Interrupt>).kind).toBe(kind));

  it("shows the call that it is about, and its arguments as a form where they may be changed", () => {
    const editable = question({ responseSchema: schema(URL_INPUT) });
    expect([editable.toolName, editable.argumentsText, editable.input?.kind]).toEqual(["fetch_url", '{"url":"https://a/"}', "object"]);
    expect(question().input).toBeNull();
    expect(questionOf(interrupt({ toolCallId: "other" }), messages).toolName).toBeNull();
  });
});

describe("entryOf", () => {
  const reason = schema({ reason: { type: "string" } });
  it.each([
    ["an approval", question(), approve, { status: "resolved", payload: { approved: true } }],
    ["a refusal", question(), decline, { status: "resolved", payload: { approved: false } }],
    ["a refusal with a reason", question({ responseSchema: reason }), { ...decline, reason: " no " }, { status: "resolved", payload: { approved: false, reason: "no" } }],
    ["other arguments", question({ responseSchema: schema(URL_INPUT) }), { ...approve, input: { url: "https://b/" } }, { status: "resolved", payload: { approved: true, input: { url: "https://b/" } } }],
    ["arguments that are the same", question({ responseSchema: schema(URL_INPUT) }), { ...approve, input: { url: "https://a/" } }, { status: "resolved", payload: { approved: true } }],
    ["arguments that may not change", question(), { ...approve, input: { url: "https://b/" } }, { status: "resolved", payload: { approved: true } }],
    ["a login", question({ reason: "connection_required" }), approve, { status: "resolved" }],
    ["no login", question({ reason: "connection_required" }), decline, { status: "cancelled" }],
    ["a text", question({ reason: "q", responseSchema: { type: "string" } }), { ...approve, answer: "Paris" }, { status: "resolved", payload: "Paris" }],
    ["no answer", question({ reason: "q", responseSchema: { type: "string" } }), decline, { status: "cancelled" }],
    ["a notice", question({ responseSchema: undefined } as never), approve, { status: "resolved" }],
  ])("writes %s", (_, one, draft, expected) => expect(entryOf(one, draft, false)).toEqual({ interruptId: "i", ...expected }));

  it("lays an expired question aside, and says nothing before a decision", () => {
    expect(entryOf(question(), approve, true)).toEqual({ interruptId: "i", status: "cancelled" });
    expect(entryOf(question(), emptyDraft(), false)).toBeNull();
  });
});

describe("QuestionStore", () => {
  function store(...open: Interrupt[]) {
    const resume = vi.fn(async () => undefined as void);
    const session = { messages: signal(messages), interrupts: signal(open), resume } as unknown as ThreadSession;
    return { store: new QuestionStore(session), resume };
  }

  it("sends the answer to a single question at once", async () => {
    const { store: one, resume } = store(interrupt());
    await one.decide("i", "approve");
    expect(one.isAnswered("i")).toBe(true);
    await one.decide("i", "decline");
    expect(resume.mock.calls).toEqual([[[{ interruptId: "i", status: "resolved", payload: { approved: true } }]]]);
  });

  it("sends several answers together, when all are given", async () => {
    const { store: two, resume } = store(interrupt(), interrupt({ id: "j" }), interrupt({ id: "old", expiresAt: "2020-01-01T00:00:00Z" }));
    await two.decide("i", "approve");
    await two.sendAll();
    expect(resume).not.toHaveBeenCalled();
    await two.decide("j", "decline");
    expect(two.undecided(Date.now())).toBe(0);
    await two.sendAll();
    expect(resume.mock.calls).toEqual([
      [
        [
          { interruptId: "i", status: "resolved", payload: { approved: true } },
          { interruptId: "j", status: "resolved", payload: { approved: false } },
          { interruptId: "old", status: "cancelled" },
        ],
      ],
    ]);
  });

  it("keeps what was written when the service refuses, and can be sent again", async () => {
    const { store: one, resume } = store(interrupt({ responseSchema: schema(URL_INPUT) }));
    one.change("i", { input: { url: "b" } });
    resume.mockRejectedValueOnce(new Problem("invalid-request", "No.", 422, false, null, null, [{ pointer: "/resume/0/payload/input/url", message: "must be an address" }]));
    await one.decide("i", "approve");
    expect(complaintsAbout(one.problem.value, 0)).toEqual(new Map([["/input/url", "must be an address"]]));
    expect([one.draft("i").input, one.draft("i").decision, one.isAnswered("i")]).toEqual([{ url: "b" }, null, false]);
    await one.decide("i", "approve");
    expect(one.isAnswered("i")).toBe(true);
  });

  it("follows when another window was faster", async () => {
    const { store: one, resume } = store(interrupt());
    resume.mockRejectedValueOnce(new Problem("interrupt-resolved", "…", 409, false));
    await one.decide("i", "approve");
    expect([one.problem.value?.words, one.isAnswered("i")]).toEqual(["This was answered in another window.", true]);
  });
});

it.each([
  [new Problem("network", "x", 0, true), "No connection: your answer was not sent. Try again."],
  [new Problem("interrupt-uncovered", "x", 409, false), "Another question has come up in the meantime. Answer all of them."],
  [new Problem("overloaded", "Too busy.", 503, true), "Too busy."],
  [new Error("x"), "Your answer could not be sent. Try again."],
])("says what went wrong: %s", (error, words) => expect(resumeProblem(error).words).toBe(words));

it.each([
  [4 * 60_000 + 10_000, "expires in 4 min", true],
  [30_000, "expires in 30 s", true],
  [90 * 60_000, "expires in 1 h 30 min", false],
  [3 * 86_400_000, "expires in 3 days", false],
  [0, "expired", false],
])("tells how long a question is open: %d ms", (left, words, isUrgent) => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  expect(expiryOf(new Date(now + left).toISOString(), now)).toMatchObject({ words, isUrgent });
});
