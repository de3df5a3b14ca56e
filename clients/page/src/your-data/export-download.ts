/**
 * Downloads the user's export into a file. It goes on when the panel is closed, and is shown again when it is opened.
 * A file that was cut off is never saved: it would look whole.
 */
import { signal } from "@preact/signals";
import { openExport } from "../api/user-data";
import { asProblem, Problem } from "../session/types";
import { ExportLines } from "./export-lines";

export type ExportState =
  | { is: "idle" }
  | { is: "busy"; lines: number; bytes: number; announced: number | null }
  | { is: "saved"; name: string; bytes: number; lines: number }
  | { is: "failed"; problem: Problem };

/** So many bytes are joined into one Blob, which browsers keep on the disk; pieces of a stream stay in memory. */
const JOINED_BYTES = 4 << 20;
const CUT_OFF = "The download was cut off before its end, so nothing was saved. Try again.";

export class ExportDownload {
  readonly state = signal<ExportState>({ is: "idle" });
  #asked = new AbortController();

  constructor(
    private readonly save: (bytes: Blob, name: string) => void,
    private readonly now: () => Date = () => new Date(),
  ) {}

  async start(): Promise<void> {
    if (this.state.peek().is === "busy") return;
    const { signal: stop } = (this.#asked = new AbortController());
    this.#show(new ExportLines());
    try {
      const { lines, file } = await this.#read(stop);
      const name = `agentroute-export-${this.now().toISOString().slice(0, 10)}.ndjson`;
      this.save(file, name);
      this.state.value = { is: "saved", name, bytes: lines.bytes, lines: lines.lines };
    } catch (error) {
      if (!stop.aborted) this.state.value = { is: "failed", problem: asProblem(error) };
    }
  }

  cancel(): void {
    this.#asked.abort();
    this.state.value = { is: "idle" };
  }

  async #read(stop: AbortSignal): Promise<{ lines: ExportLines; file: Blob }> {
    const response = await openExport(stop);
    const lines = new ExportLines();
    const joined: Blob[] = [];
    let pieces: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    const reader = response.body!.getReader();
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw stop.aborted ? error : new Problem("network", CUT_OFF, 0, true);
      });
      if (done) break;
      lines.add(value);
      pieces.push(value);
      size += value.length;
      if (size >= JOINED_BYTES) {
        joined.push(new Blob(pieces));
        pieces = [];
        size = 0;
      }
      this.#show(lines);
    }
    if (!lines.isWhole) throw new Problem("network", CUT_OFF, 0, true);
    return { lines, file: new Blob([...joined, ...pieces], { type: "application/x-ndjson" }) };
  }

  #show({ lines, bytes, announced }: ExportLines): void {
    this.state.value = { is: "busy", lines, bytes, announced };
  }
}
