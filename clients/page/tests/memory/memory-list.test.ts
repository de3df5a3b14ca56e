import { beforeEach, describe, expect, it, vi } from "vitest";

vi.stubGlobal("document", { baseURI: "http://page.test/" });
vi.stubGlobal("sessionStorage", { getItem: () => null });
const { MemoryList } = await import("../../src/memory/memory-list");

const memory = (number: number) => ({ memoryId: `m${number}`, text: `Fact ${number}`, createdAt: "2026-11-28T09:12:44Z" });
const page = (numbers: number[], nextBefore: string | null = null) => Response.json({ memories: numbers.map(memory), nextBefore });
const done = () => new Response(null, { status: 204 });
const refusal = (status: number, code: string) => Response.json({ code, detail: `It is ${code}.` }, { status });

type Answer = Response | Promise<Response>;
let asked: string[];
/** What the service answers, in the order in which it is asked. */
let answers: Answer[];

beforeEach(() => {
  asked = [];
  answers = [];
  vi.stubGlobal("fetch", (url: string, { method = "GET", signal }: RequestInit) => {
    asked.push(`${method} ${url.split("/agent")[1]}`);
    return new Promise<Response>((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
      void Promise.resolve(answers.shift() ?? Promise.reject(new TypeError("no network"))).then(resolve, reject);
    });
  });
});

const ids = (list: InstanceType<typeof MemoryList>) => list.items.peek()?.map(({ memoryId }) => memoryId);

describe("MemoryList", () => {
  it("reads page after page, and knows when there is no more", async () => {
    answers = [page([5, 4], "m4"), page([3])];
    const list = new MemoryList();
    expect(list.items.peek()).toBeNull();
    await list.read();
    expect([ids(list), list.nextBefore.peek()]).toEqual([["m5", "m4"], "m4"]);
    await list.read();
    expect([ids(list), list.nextBefore.peek()]).toEqual([["m5", "m4", "m3"], null]);
    expect(asked).toEqual(["GET /memory", "GET /memory?before=m4"]);
  });

  it("asks once, however often it is told to read", async () => {
    answers = [page([1]), page([1])];
    const list = new MemoryList();
    await Promise.all([list.read(), list.read()]);
    expect(asked).toHaveLength(1);
    expect(ids(list)).toEqual(["m1"]);
  });

  it("keeps what it has when a page cannot be read, and reads the same page at the next try", async () => {
    answers = [page([5], "m5"), refusal(503, "store-unavailable"), page([4])];
    const list = new MemoryList();
    await list.read();
    await list.read();
    expect(list.problem.peek()?.message).toBe("It is store-unavailable.");
    expect(ids(list)).toEqual(["m5"]);
    await list.read();
    expect(list.problem.peek()).toBeNull();
    expect(ids(list)).toEqual(["m5", "m4"]);
    expect(asked.at(-1)).toBe("GET /memory?before=m5");
  });

  it("says that the network is away", async () => {
    const list = new MemoryList();
    await list.read();
    expect([list.problem.peek()?.code, list.items.peek(), list.isReading.peek()]).toEqual(["network", null, false]);
  });

  it("deletes one; one that is gone already is no error", async () => {
    answers = [page([2, 1]), done(), refusal(404, "not-found")];
    const list = new MemoryList();
    await list.read();
    await list.delete("m2");
    expect(ids(list)).toEqual(["m1"]);
    await list.delete("m1");
    expect(ids(list)).toEqual([]);
    expect(asked.slice(1)).toEqual(["DELETE /memory/m2", "DELETE /memory/m1"]);
  });

  it("still shows one that the service did not delete", async () => {
    answers = [page([1]), refusal(503, "store-unavailable")];
    const list = new MemoryList();
    await list.read();
    await expect(list.delete("m1")).rejects.toMatchObject({ code: "store-unavailable" });
    expect(ids(list)).toEqual(["m1"]);
  });

  it("does not show one again that was deleted while a page was on its way", async () => {
    let arrive!: (page: Response) => void;
    answers = [page([3, 2], "m2"), new Promise((resolve) => (arrive = resolve)), done()];
    const list = new MemoryList();
    await list.read();
    const reading = list.read();
    await list.delete("m2");
    arrive(page([2, 1]));
    await reading;
    expect(ids(list)).toEqual(["m3", "m1"]);
  });

  it("reads on when the last one in view is deleted and there are more", async () => {
    answers = [page([2], "m2"), done(), page([1])];
    const list = new MemoryList();
    await list.read();
    await list.delete("m2");
    expect(ids(list)).toEqual(["m1"]);
  });

  it("deletes all, and a page that was on its way is not shown any more", async () => {
    let arrive!: (page: Response) => void;
    answers = [page([3], "m3"), new Promise((resolve) => (arrive = resolve)), done()];
    const list = new MemoryList();
    await list.read();
    const reading = list.read();
    await list.deleteAll();
    arrive(page([2]));
    await reading;
    expect([ids(list), list.nextBefore.peek(), list.isReading.peek()]).toEqual([[], null, false]);
    expect(asked.at(-1)).toBe("DELETE /memory");
  });

  it("has lost nothing when the service does not delete all", async () => {
    answers = [page([2, 1]), refusal(503, "store-unavailable")];
    const list = new MemoryList();
    await list.read();
    await expect(list.deleteAll()).rejects.toMatchObject({ code: "store-unavailable" });
    expect(ids(list)).toEqual(["m2", "m1"]);
  });
});
