/** Reads an export while it passes by: how far it is, and whether its end has come. Keeps no bytes. Pure. */

const NEWLINE = 10;
/** The manifest and the end are short. Of a longer line nothing is read: a message may have megabytes. */
const READ_BYTES = 64 << 10;

export class ExportLines {
  /** Complete lines so far. */
  lines = 0;
  bytes = 0;
  /** Lines that the manifest announces, without those of files' bytes; `null` until it is here. */
  announced: number | null = null;
  readonly #decoder = new TextDecoder();
  #line: Uint8Array[] = [];
  #lineBytes = 0;
  #last = "";

  add(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, at));
      this.#ended();
      from = at + 1;
    }
    this.#keep(chunk.subarray(from));
  }

  /** Whether the last line says that it is the last one, and counts the lines before it as they were counted here. */
  get isWhole(): boolean {
    const end = parsed(this.#last);
    return end["type"] === "end" && end["lines"] === this.lines - 1 && this.#lineBytes === 0;
  }

  #keep(part: Uint8Array): void {
    this.#lineBytes += part.length;
    if (part.length > 0 && this.#lineBytes <= READ_BYTES) this.#line.push(part);
  }

  #ended(): void {
    this.#last = this.#lineBytes <= READ_BYTES ? this.#line.map((part) => this.#decoder.decode(part, { stream: true })).join("") : "";
    if (this.lines === 0) this.announced = announcedBy(parsed(this.#last));
    this.lines++;
    this.#line = [];
    this.#lineBytes = 0;
  }
}

function announcedBy({ counts }: Record<string, unknown>): number | null {
  if (typeof counts !== "object" || counts === null) return null;
  return Object.values(counts).reduce((sum: number, one: unknown) => sum + (typeof one === "number" ? one : 0), 0);
}

function parsed(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
