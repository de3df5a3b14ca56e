import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MemoryStorage } from "../../src/session/memory-storage";
import { forgetBrowser } from "../../src/your-data/forget-browser";
import { isConfirmed } from "../../src/your-data/phrase";
import { sorted, storeWords } from "../../src/your-data/receipt-lines";

vi.stubGlobal("document", { baseURI: "http://page.test/" });
vi.stubGlobal("sessionStorage", { getItem: () => null });
const { signInWanted } = await import("../../src/api/http");
const { Erasing } = await import("../../src/your-data/erasing");

const receipt = (state: "erasing" | "erased", members = {}) => ({ erasureId: "e-1", state, askedAt: "2026-11-28T09:12:44Z", stores: [], ...members });
const refusal = (status: number, code: string) => Response.json({ code, detail: `It is ${code}.` }, { status });

let answers: (Response | Error)[];
let asked: string[];

beforeEach(() => {
  vi.useFakeTimers();
  answers = [];
  asked = [];
  vi.stubGlobal("fetch", async (url: string, { method }: RequestInit) => {
    asked.push(`${method} ${url.split("/agent")[1]}`);
    const answer = answers.shift()!;
    if (answer instanceof Error) throw answer;
    return answer;
  });
});
afterEach(() => vi.useRealTimers());

describe("Erasing", () => {
  it("has the receipt when it is over, and asks no more", async () => {
    const onBegun = vi.fn();
    const erasing = new Erasing(onBegun);
    answers = [Response.json(receipt("erased"))];
    await erasing.ask();
    await vi.runAllTimersAsync();
    expect(erasing.receipt.peek()?.state).toBe("erased");
    expect(onBegun).toHaveBeenCalledOnce();
    expect(asked).toEqual(["DELETE /me"]);
  });

  it("follows one that takes longer, also over answers that are lost", async () => {
    const onBegun = vi.fn();
    const erasing = new Erasing(onBegun);
    answers = [Response.json(receipt("erasing", { waitsFor: "redis" }), { status: 202 }), new TypeError("no network"), refusal(503, "store-unavailable"), Response.json(receipt("erased"))];
    await erasing.ask();
    expect(erasing.receipt.peek()).toMatchObject({ state: "erasing", waitsFor: "redis" });
    await vi.advanceTimersByTimeAsync(2000);
    expect(erasing.problem.peek()?.code).toBe("network");
    await vi.runAllTimersAsync();
    expect([erasing.receipt.peek()?.state, erasing.problem.peek()]).toEqual(["erased", null]);
    expect(asked).toHaveLength(4);
    expect(onBegun).toHaveBeenCalledOnce();
  });

  it.each([
    [new TypeError("no network"), true],
    [refusal(502, "http-502"), true],
    [refusal(403, "forbidden"), false],
    [refusal(429, "rate-limited"), false],
  ])("has not begun for all it knows after %o", async (answer, mayHaveBegun) => {
    const onBegun = vi.fn();
    const erasing = new Erasing(onBegun);
    answers = [answer];
    await erasing.ask();
    await vi.runAllTimersAsync();
    expect([erasing.receipt.peek(), erasing.isAsking.peek(), erasing.mayHaveBegun.peek()]).toEqual([null, false, mayHaveBegun]);
    expect(onBegun).not.toHaveBeenCalled();
    // Only the user asks again.
    expect(asked).toHaveLength(1);
  });

  it("asks no more when the key was erased with the rest", async () => {
    const erasing = new Erasing(() => {});
    answers = [Response.json(receipt("erasing"), { status: 202 }), refusal(401, "unauthenticated")];
    await erasing.ask();
    await vi.runAllTimersAsync();
    expect(erasing.receipt.peek()?.state).toBe("erasing");
    expect(asked).toHaveLength(2);
    expect(signInWanted.peek()).toBe(false);
  });
});

it("a browser forgets what it has of the user, and keeps how the page looks and what others have stored", () => {
  const [local, tab] = [new MemoryStorage(), new MemoryStorage()];
  for (const name of ["agentroute.draft.t-1", "agentroute.unsent.t-1", "agentroute.call.c-1", "agentroute.theme", "other"]) local.setItem(name, "x");
  tab.setItem("agentroute.token", "secret");
  forgetBrowser([local, tab]);
  expect(Object.keys(local)).toEqual(["agentroute.theme", "other"]);
  expect(tab.length).toBe(0);
});

it.each([
  ["delete everything", true],
  [" Delete  Everything ", true],
  ["delete", false],
  ["delete everything!", false],
  ["", false],
])("%o confirms: %s", (typed, is) => expect(isConfirmed(typed)).toBe(is));

it("a receipt is told in words, and stores with nothing in them are apart", () => {
  const line = (store: string, removed: number, kept = 0) => ({ store, removed, kept });
  const { found, empty } = sorted([
    line("redis: rates", 1),
    line("postgres: agent_model_call", 0, 3),
    line("postgres: agent_chat_message", 2),
    line("postgres: user_budget_reservation", 0),
  ]);
  expect(found.map(({ store }) => storeWords(store))).toEqual(["Messages", "Model calls", "Redis: rates"]);
  expect(empty.map(({ store }) => storeWords(store))).toEqual(["User budget reservation"]);
});
