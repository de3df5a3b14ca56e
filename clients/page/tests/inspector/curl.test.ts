import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { curlOfAnswer, curlOfEvents, curlOfHistory, curlOfPost, curlOfRun } from "../../src/inspector/curl";
import { shellQuote } from "../../src/inspector/shell-quote";

const TARGET = { base: "http://127.0.0.1:8000/api/v1/agent", authenticated: false };

/** What programs receive when a real shell runs the command: `curl` is a function that prints its arguments. */
function received(command: string, shell = "bash", env: Record<string, string> = {}): { args: string[]; stdin: string } {
  const script = `curl() { for a in "$@"; do printf '%s\\0' "$a"; done; printf '\\0\\1'; case "$*" in *@-*) cat;; esac; }\n${command}\n`;
  // By standard input: the script itself may be longer than an argument may be.
  const out = execFileSync(shell, ["-s"], { input: script, env: { PATH: process.env.PATH!, ...env } }).toString();
  const [args, stdin] = out.split("\0\0\u0001");
  return { args: args!.split("\0"), stdin: stdin! };
}

/** Numbers of a fixed seed (mulberry32): a failure can be repeated. */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const ALPHABET = [..."ab01 '\"\\$`!#&|;<>(){}[]*?~^%=@-\n\t\r", "'\\''", "$(id)", "${HOME}", "`id`", "é", "漢字", "😀", "\u2028", "\u0001"];

function texts(amount: number, seed: number): string[] {
  const next = random(seed);
  return Array.from({ length: amount }, () =>
    Array.from({ length: Math.floor(next() * 24) }, () => ALPHABET[Math.floor(next() * ALPHABET.length)]).join(""),
  );
}

describe("shellQuote", () => {
  it.each(["bash", "sh"])("gives every text to the program as it is, in %s", (shell) => {
    const words = [...texts(400, 7), "", "-n", "~", "a'b", "$HOME", "!!", "\\", "'", "''", "\n", "a\\\nb"];
    const command = `printf '%s\\0' ${words.map(shellQuote).join(" ")}`;
    const out = execFileSync(shell, ["-s"], { input: command }).toString();
    expect(out.split("\0").slice(0, -1)).toEqual(words);
  });

  it("refuses what no argument can hold", () => {
    expect(() => shellQuote("a\0b")).toThrow(RangeError);
  });
});

describe("a command", () => {
  it("sends the exact body, whatever the message says", () => {
    for (const content of texts(60, 11)) {
      const body = JSON.stringify({ threadId: "t-1", messages: [{ id: "m-1", role: "user", content }] });
      const { args } = received(curlOfPost(TARGET, { path: "/runs", body }));
      expect(args).toEqual([
        "-N",
        "http://127.0.0.1:8000/api/v1/agent/runs",
        "-H",
        "Content-Type: application/json",
        "-H",
        "Accept: text/event-stream",
        "--data-raw",
        body,
      ]);
    }
  });

  it("sends a body that is too long for an argument through standard input", () => {
    const body = JSON.stringify({ content: `${"'x$HOME`\\".repeat(40_000)}\nEND_OF_BODY\n` });
    const { args, stdin } = received(curlOfPost(TARGET, { path: "/runs", body }));
    expect(args.slice(-2)).toEqual(["--data-binary", "@-"]);
    expect(stdin).toBe(`${body}\n`);
  });

  it("names the token and never contains it", () => {
    const command = curlOfHistory({ ...TARGET, authenticated: true }, "t-1");
    expect(command).toContain('-H "Authorization: Bearer $TOKEN"');
    expect(received(command, "bash", { TOKEN: "a b'c\"d" }).args).toContain("Authorization: Bearer a b'c\"d");
  });

  it("asks for a run's events from a cursor", () => {
    const { args } = received(curlOfEvents(TARGET, { threadId: "a&b c", runId: "r:1", cursor: "3-17" }));
    const url = new URL(args[1]!);
    expect(url.pathname).toBe("/api/v1/agent/events");
    expect(Object.fromEntries(url.searchParams)).toEqual({ threadId: "a&b c", runId: "r:1", cursor: "3-17" });
    expect(new URL(received(curlOfEvents(TARGET, { threadId: "t" })).args[1]!).search).toBe("?threadId=t");
  });

  it("reads history and a run", () => {
    expect(received(curlOfHistory(TARGET, "t-1")).args).toEqual([`${TARGET.base}/history?threadId=t-1`]);
    expect(received(curlOfRun(TARGET, "t-1", "r-1")).args).toEqual([`${TARGET.base}/runs/r-1?threadId=t-1`]);
  });

  it("answers every open question: with the given answer, otherwise with an approval", () => {
    const open = [
      { id: "int-1", reason: "tool_approval" },
      { id: "int-2", reason: "connection_required" },
      { id: "int-3", reason: "tool_approval" },
    ];
    const { args } = received(curlOfAnswer(TARGET, "t-1", open, [{ interruptId: "int-3", status: "cancelled" }]));
    expect(args[1]).toBe(`${TARGET.base}/resume`);
    expect(JSON.parse(args.at(-1)!)).toEqual({
      threadId: "t-1",
      resume: [
        { interruptId: "int-1", status: "resolved", payload: { approved: true } },
        { interruptId: "int-2", status: "resolved" },
        { interruptId: "int-3", status: "cancelled" },
      ],
    });
  });
});
