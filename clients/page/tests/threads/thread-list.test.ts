import { expect, test, vi } from "vitest";

vi.stubGlobal("document", { baseURI: "http://page.test/", addEventListener() {} });
vi.stubGlobal("sessionStorage", { getItem: () => null });
const list = await import("../../src/threads/thread-list");

const item = (title: string) => ({ threadId: "t-1", title, updatedAt: "2026-01-01T00:00:00Z" });

test.each(["rename", "remove"] as const)("a list that was asked for before %s does not undo it", async (change) => {
  const lists: ((answer: Response) => void)[] = [];
  vi.stubGlobal("fetch", (_: string, { method = "GET", signal }: RequestInit) => {
    if (method === "PATCH") return Promise.resolve(Response.json(item("new")));
    if (method === "DELETE") return Promise.resolve(new Response(null, { status: 204 }));
    return new Promise<Response>((resolve, reject) => {
      lists.push(resolve);
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
    });
  });
  const answer = (threads: object[]) => Response.json({ threads, nextBefore: null });
  const read = list.refresh();
  await (change === "rename" ? list.rename("t-1", "new") : list.remove("t-1"));
  lists[0]!(answer([item("old")]));
  await read;
  expect(lists).toHaveLength(2);
  lists[1]!(answer(change === "rename" ? [item("new")] : []));
  await vi.waitFor(() => expect(list.isLoading.peek()).toBe(false));
  expect(list.threads.peek().map(({ title }) => title)).toEqual(change === "rename" ? ["new"] : []);
  if (change === "rename") expect(list.titleOf("t-1")).toBe("new");
});
