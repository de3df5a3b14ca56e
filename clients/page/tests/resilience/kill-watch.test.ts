import { signal } from "@preact/signals";
import { EventType, type Message } from "@ag-ui/client";
import { describe, expect, it, vi } from "vitest";
import type { ServiceProcess } from "../../src/api/embedded";
import type { Connection, LoggedEvent, RunView, ThreadSession } from "../../src/session/types";

const stored: Message[] = [{ id: "m-1", role: "assistant", content: "Slowly it is." }];
vi.mock("../../src/api/history", () => ({ readHistory: async () => ({ messages: stored }) }));
const { KillWatch } = await import("../../src/resilience/kill-watch");

const KILL = { name: "api" as const, pid: 12, killedAt: new Date(1000).toISOString() };
const back: ServiceProcess[] = [
  {
    name: "api",
    title: "API",
    state: "running",
    pid: 13,
    lastKill: { pid: 12, killedAt: KILL.killedAt, backAt: new Date(3000).toISOString() },
  },
];
const running: RunView = { runId: "run-1", status: "running", stages: [], error: null };

function thread() {
  const connection = signal<Connection>("live");
  const run = signal<RunView | null>(running);
  const messages = signal<readonly Message[]>(stored);
  const entries: LoggedEvent[] = ["1-1", "1-2", "1-3"].map((cursor, place) => ({
    cursor,
    event: { type: EventType.RAW } as LoggedEvent["event"],
    receivedAt: 500 + place * 1000,
    bytes: 1,
  }));
  const session = { threadId: "t", connection, run, messages, log: { entries: () => entries } };
  return { connection, run, messages, session: session as unknown as ThreadSession };
}

const texts = (watch: InstanceType<typeof KillWatch>) => watch.beats.value.map(({ text }) => text);

describe("KillWatch", () => {
  it("says what happened in its order, and judges when all is over", async () => {
    const { connection, run, session } = thread();
    const watch = new KillWatch(session, KILL, "API", true);
    connection.value = "reconnecting";
    connection.value = "offline";
    connection.value = "live";
    watch.report(back);
    watch.report(back);
    expect(watch.verdict.value).toBeNull();
    run.value = { ...running, status: "succeeded" };

    await vi.waitFor(() => expect(watch.verdict.value).toEqual({ count: 2, twice: 0, isEqual: true, characters: 13 }));
    expect(texts(watch)).toEqual([
      "API killed (process 12)",
      "API back (process 13)",
      "Line lost",
      "Line back: the page goes on where it was",
      "Answer complete",
    ]);
    watch.stop();
  });

  it("says why an answer ended, and nothing of one that was not streaming", async () => {
    const failed: RunView = { ...running, status: "failed", error: { code: "worker-lost", message: "The worker died." } };
    for (const [wasAnswering, told] of [[true, ["Answer ended: The worker died."]], [false, []]] as const) {
      const { run, session } = thread();
      const watch = new KillWatch(session, KILL, "API", wasAnswering);
      run.value = failed;
      expect(texts(watch).slice(1)).toEqual(told);
      watch.stop();
    }
  });

  it("takes no other kill for its own", () => {
    const { run, session } = thread();
    run.value = null;
    const watch = new KillWatch(session, { ...KILL, pid: 99 }, "API", false);
    watch.report(back);
    expect(texts(watch)).toEqual(["API killed (process 99)"]);
    watch.stop();
  });

  it("says that a text differs only after some tries", async () => {
    vi.useFakeTimers();
    const { run, messages, session } = thread();
    run.value = null;
    messages.value = [{ id: "m-1", role: "assistant", content: "Slowly" }];
    const watch = new KillWatch(session, KILL, "API", false);
    watch.report(back);
    await vi.runAllTimersAsync();
    expect(watch.verdict.value).toMatchObject({ isEqual: false });
    watch.stop();
    vi.useRealTimers();
  });
});
