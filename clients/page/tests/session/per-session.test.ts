import { expect, test } from "vitest";
import { perSession } from "../../src/session/per-session";
import type { ThreadSession } from "../../src/session/types";

const session = (threadId: string) => ({ threadId }) as ThreadSession;

test("what is kept for a session is made once, and is not what another session has", () => {
  const draftsOf = perSession((one, first: string) => [one.threadId, first]);
  const one = session("t-1");
  const kept = draftsOf(one, "a");
  kept.push("more");
  expect(draftsOf(one, "b")).toEqual(["t-1", "a", "more"]);
  // The same thread, opened anew, is another session.
  expect(draftsOf(session("t-1"), "c")).toEqual(["t-1", "c"]);
  expect(perSession(() => ["other"])(one)).toEqual(["other"]);
});
