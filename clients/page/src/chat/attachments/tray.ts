/** The attachments of a message that is being written: each is uploaded as soon as it is there. */
import type { ContentPart } from "@ag-ui/client";
import { computed, signal, type ReadonlySignal } from "@preact/signals";
import { uploadFile, type StoredFile } from "../../api/files";
import { transcribe } from "../../api/transcribe";
import { newId } from "../../session/ids";
import { Problem } from "../../session/types";
import { wordsOf } from "../../problems/words";
import { inWords, kindOf, mediaTypeOf, refusal, type Kind, type Limits } from "./media-type";
import { rememberPicture } from "./pictures";

export interface Attachment {
  id: string;
  name: string;
  kind: Kind;
  bytes: number;
  /** What failed can be tried again if `canRetry`; what was refused cannot. `writing`: its speech becomes text. */
  status: "uploading" | "writing" | "ready" | "failed";
  /** Of the upload, 0 to 1. */
  share: number;
  reason: string | null;
  canRetry: boolean;
  /** It cannot be attached, but it may be speech that can be written down. */
  canWriteDown: boolean;
  /** Address of the picture, if it is one. */
  picture: string | null;
  stored: StoredFile | null;
}

type Upload = typeof uploadFile;

const MAX_FILES = 20;
const AT_ONCE = 3;

export class AttachmentTray {
  readonly items = signal<readonly Attachment[]>([]);
  readonly isUploading: ReadonlySignal<boolean> = computed(() => this.items.value.some((item) => item.status === "uploading"));
  readonly hasFailed: ReadonlySignal<boolean> = computed(() => this.items.value.some((item) => item.status === "failed"));
  /** What is uploaded, for the draft. */
  readonly stored: ReadonlySignal<readonly StoredFile[]> = computed(() => this.items.value.flatMap((item) => item.stored ?? []));
  readonly #files = new Map<string, { file: File; abort: AbortController }>();
  readonly #limits: () => Limits;
  readonly #upload: Upload;
  #running = 0;
  #queue: string[] = [];

  constructor(limits: () => Limits, upload: Upload = uploadFile) {
    this.#limits = limits;
    this.#upload = upload;
  }

  /** Take files; each is refused, or its upload begins. */
  add(files: readonly File[]): void {
    for (const file of files) {
      const full = this.items.peek().length >= MAX_FILES ? `A message may have ${MAX_FILES} files.` : null;
      const reason = full ?? refusal(file, this.#limits());
      const kind = kindOf(mediaTypeOf(file));
      const item: Attachment = {
        id: newId("file"),
        name: file.name || "file",
        kind,
        bytes: file.size,
        status: reason === null ? "uploading" : "failed",
        share: 0,
        reason,
        canRetry: false,
        canWriteDown: reason !== null && kind === "audio" && file.size > 0,
        picture: kind === "image" && reason === null ? URL.createObjectURL(file) : null,
        stored: null,
      };
      this.items.value = [...this.items.peek(), item];
      this.#files.set(item.id, { file, abort: new AbortController() });
      if (reason === null) this.#begin(item.id);
    }
  }

  /** Put back files that are uploaded already: of a draft, or of a message that is to be changed. */
  restore(stored: readonly StoredFile[]): void {
    const items = stored.map(
      (file): Attachment => ({
        id: newId("file"), name: file.name, kind: kindOf(file.mediaType), bytes: file.bytes, status: "ready", share: 1, reason: null,
        canRetry: false, canWriteDown: false, picture: null, stored: file,
      }),
    );
    this.items.value = [...this.items.peek(), ...items];
  }

  /** Take an attachment away; an upload that goes on is broken off. */
  remove(id: string): void {
    this.#files.get(id)?.abort.abort();
    this.#files.delete(id);
    this.#queue = this.#queue.filter((one) => one !== id);
    this.items.value = this.items.peek().filter((item) => item.id !== id);
  }

  retry(id: string): void {
    const kept = this.#files.get(id);
    if (!kept) return;
    kept.abort = new AbortController();
    this.#change(id, { status: "uploading", share: 0, reason: null });
    this.#begin(id);
  }

  /** Return the words of a recording that cannot be attached, and take it away; `null` if that failed. */
  async writeDown(id: string): Promise<string | null> {
    const kept = this.#files.get(id);
    if (!kept) return null;
    this.#change(id, { status: "writing", reason: null });
    try {
      const { text } = await transcribe(kept.file, kept.abort.signal);
      this.remove(id);
      return text.trim();
    } catch (error) {
      if (!kept.abort.signal.aborted) this.#change(id, { status: "failed", reason: wordsOf(problemOf(error)).title });
      return null;
    }
  }

  /** Return the parts of a message, and empty the tray. */
  take(): ContentPart[] {
    const parts = this.stored.peek().map(partOf);
    this.clear();
    return parts;
  }

  clear(): void {
    for (const { id } of this.items.peek()) this.remove(id);
  }

  #begin(id: string): void {
    this.#queue.push(id);
    this.#next();
  }

  #next(): void {
    while (this.#running < AT_ONCE && this.#queue.length > 0) {
      this.#running++;
      void this.#send(this.#queue.shift()!).finally(() => {
        this.#running--;
        this.#next();
      });
    }
  }

  async #send(id: string): Promise<void> {
    const kept = this.#files.get(id);
    if (!kept) return;
    const { signal } = kept.abort;
    try {
      const stored = await this.#upload(kept.file, { signal, onProgress: (share) => this.#change(id, { share }) });
      const picture = this.items.peek().find((item) => item.id === id)?.picture;
      if (picture) rememberPicture(stored.fileId, picture);
      this.#change(id, { status: "ready", share: 1, stored });
    } catch (error) {
      if (signal.aborted) return;
      const words = wordsOf(problemOf(error));
      this.#change(id, { status: "failed", reason: words.title, canRetry: words.remedy === "again" });
    }
  }

  #change(id: string, change: Partial<Attachment>): void {
    this.items.value = this.items.peek().map((item) => (item.id === id ? { ...item, ...change } : item));
  }
}

function problemOf(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem("internal-error", String(error), 0, true);
}

/** The part of a message that names a file. */
export function partOf({ fileId, name, mediaType }: StoredFile): ContentPart {
  return {
    type: kindOf(mediaType),
    source: { type: "file", value: fileId, provider: "agentroute", mimeType: mediaType },
    metadata: { filename: name },
  } as ContentPart;
}

/** One line about an attachment, for eyes and for screen readers. */
export function stateInWords({ status, share, bytes, reason }: Attachment): string {
  if (status === "writing") return "Writing it down";
  if (status === "failed") return reason ?? "It could not be uploaded.";
  return status === "uploading" ? `Uploading, ${Math.round(share * 100)} %` : inWords(bytes);
}
