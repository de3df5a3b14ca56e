import { beforeEach, describe, expect, it, vi } from "vitest";
import { ExportLines } from "../../src/your-data/export-lines";

vi.stubGlobal("document", { baseURI: "http://page.test/" });
vi.stubGlobal("sessionStorage", { getItem: () => null });
const { ExportDownload } = await import("../../src/your-data/export-download");

const bytes = (text: string) => new TextEncoder().encode(text);
const MANIFEST = '{"type":"manifest","counts":{"thread":1,"message":2,"file":0}}\n';
const ROWS = '{"type":"thread","title":"Lisböa 🌊"}\n{"type":"message"}\n{"type":"message"}\n';
const WHOLE = `${MANIFEST}${ROWS}{"type":"end","lines":4,"sha256":"2f0a"}\n`;

function read(text: string, size: number): ExportLines {
  const lines = new ExportLines();
  const all = bytes(text);
  for (let at = 0; at < all.length; at += size) lines.add(all.subarray(at, at + size));
  return lines;
}

describe("ExportLines", () => {
  it.each([1, 2, 7, 64, 10_000])("counts and knows the end, in pieces of %i bytes", (size) => {
    const { lines, bytes: length, announced, isWhole } = read(WHOLE, size);
    expect({ lines, length, announced, isWhole }).toEqual({ lines: 5, length: bytes(WHOLE).length, announced: 3, isWhole: true });
  });

  it.each([
    ["nothing", ""],
    ["a cut line", WHOLE.slice(0, -1)],
    ["a missing end", MANIFEST + ROWS],
    ["a missing line", WHOLE.replace('{"type":"message"}\n', "")],
    ["something behind the end", `${WHOLE}{"type":"message"}\n`],
    ["a half line behind the end", `${WHOLE}{`],
    ["no export at all", "<html>\n"],
  ])("does not take %s for a whole export", (_, text) => expect(read(text, 16).isWhole).toBe(false));

  it("reads past lines of any length", () => {
    const large = `{"type":"message","text":"${"x".repeat(300_000)}"}\n`;
    const text = WHOLE.replace('{"type":"message"}\n', large);
    expect(read(text, 65_536)).toMatchObject({ lines: 5, isWhole: true });
  });
});

describe("ExportDownload", () => {
  let saved: [Blob, string][];
  let answer: () => Response | Promise<Response>;
  beforeEach(() => {
    saved = [];
    vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) => {
      return new Promise<Response>((resolve, reject) => {
        signal!.addEventListener("abort", () => reject(signal!.reason as Error));
        void Promise.resolve(answer()).then(resolve, reject);
      });
    });
  });
  const newDownload = () =>
    new ExportDownload(
      (blob, name) => saved.push([blob, name]),
      () => new Date("2026-11-28T23:00:00Z"),
    );
  const streamed = (pieces: (string | Error)[]) => {
    let next = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const piece = pieces[next++];
        if (piece === undefined) controller.close();
        else if (piece instanceof Error) controller.error(piece);
        else controller.enqueue(bytes(piece));
      },
    });
    return new Response(body);
  };

  it("saves the bytes that were sent, under a name with the day", async () => {
    answer = () => streamed([WHOLE.slice(0, 50), WHOLE.slice(50)]);
    const download = newDownload();
    const busy = download.start();
    expect(download.state.peek()).toMatchObject({ is: "busy", bytes: 0 });
    await busy;
    expect(download.state.peek()).toEqual({ is: "saved", name: "agentroute-export-2026-11-28.ndjson", bytes: bytes(WHOLE).length, lines: 5 });
    expect(await saved[0]![0].text()).toBe(WHOLE);
  });

  it("joins what is large in its order", async () => {
    const row = `{"type":"message","text":"${"y".repeat(1 << 20)}"}\n`;
    const pieces = [MANIFEST, ...Array.from({ length: 10 }, () => row), '{"type":"end","lines":11}\n'];
    answer = () => streamed(pieces);
    await newDownload().start();
    expect(await saved[0]![0].text()).toBe(pieces.join(""));
  });

  it.each([
    ["a line that breaks", [MANIFEST, new TypeError("network error")]],
    ["an end that is missing", [MANIFEST, ROWS]],
  ])("saves nothing after %s, and can be started again", async (_, pieces) => {
    answer = () => streamed(pieces);
    const download = newDownload();
    await download.start();
    expect(download.state.peek()).toMatchObject({ is: "failed", problem: { message: expect.stringContaining("cut off") } });
    expect(saved).toEqual([]);
    answer = () => streamed([WHOLE]);
    await download.start();
    expect(saved).toHaveLength(1);
  });

  it("tells a refusal in the service's words", async () => {
    const detail = "You have an export under way. Ask again when it has ended.";
    answer = () => Response.json({ code: "rate-limited", detail }, { status: 429, headers: { "Retry-After": "2" } });
    const download = newDownload();
    await download.start();
    expect(download.state.peek()).toMatchObject({ is: "failed", problem: { message: detail, retryAfter: 2 } });
  });

  it("asks once, and saves nothing after a cancel", async () => {
    let arrive!: (response: Response) => void;
    const asked = vi.fn(() => new Promise<Response>((resolve) => (arrive = resolve)));
    answer = asked;
    const download = newDownload();
    const first = download.start();
    void download.start();
    expect(asked).toHaveBeenCalledOnce();
    download.cancel();
    arrive(streamed([WHOLE]));
    await first;
    expect([download.state.peek(), saved]).toEqual([{ is: "idle" }, []]);
  });
});
