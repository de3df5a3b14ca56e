/** The attachments of a message that is being written: each is uploaded as soon as it is there. */
import type { ContentPart } from "@ag-ui/client";
import { computed, signal, type ReadonlySignal } from "@preact/signals";
import { uploadFile, type StoredFile } from "../../api/files";
import { transcribe } from "../../api/transcribe";
import { newId } from "../../session/ids";
import { asProblem } from "../../session/types";
import { wordsOf } from "../../problems/words";
import { inWords, kindOf, mediaTypeOf, refusal, type Kind, type Limits } from "./media-type";
import { described, inlinePart, partOf } from "./parts";
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
  /** What the message will have, when it is ready. */
  part: ContentPart | null;
  /** `null` while it is not uploaded, and for one whose bytes are in the message itself. */
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
      const reason = full ?? refusal(file, this.#limits()) ?? this.#tooMuch(file);
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
        part: null,
        stored: null,
      };
      this.items.value = [...this.items.peek(), item];
      this.#files.set(item.id, { file, abort: new AbortController() });
      if (reason === null) this.#begin(item.id);
    }
  }

  /** Put back what is attached already: of a draft, or of a message that is to be changed. */
  restore(parts: readonly ContentPart[]): void {
    const items = parts.map((part): Attachment => {
      const { kind, name, mediaType, fileId, address, bytes } = described(part);
      return {
        id: newId("file"),
        name,
        kind,
        bytes,
        status: "ready",
        share: 1,
        reason: null,
        canRetry: false,
        canWriteDown: false,
        picture: kind === "image" ? address : null,
        part,
        stored: fileId === null ? null : { fileId, name, mediaType, bytes: 0 },
      };
    });
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
      if (!kept.abort.signal.aborted) this.#change(id, { status: "failed", reason: wordsOf(asProblem(error)).title });
      return null;
    }
  }

  /** Return the parts of a message, and empty the tray. */
  take(): ContentPart[] {
    const parts = this.items.peek().flatMap((item) => item.part ?? []);
    this.clear();
    return parts;
  }

  clear(): void {
    for (const { id } of this.items.peek()) this.remove(id);
  }

  /** Without a store, all attachments travel in one request. */
  #tooMuch(file: File): string | null {
    const { areStored, maxBytes } = this.#limits();
    if (areStored !== false || maxBytes === null) return null;
    const taken = this.items.peek().reduce((sum, item) => (item.status === "failed" ? sum : sum + item.bytes), 0);
    return taken + file.size > maxBytes ? `Together more than ${inWords(maxBytes)}.` : null;
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
      if (this.#limits().areStored === false) {
        this.#change(id, { status: "ready", share: 1, part: await inlinePart(kept.file) });
        return;
      }
      const stored = await this.#upload(kept.file, { signal, onProgress: (share) => this.#change(id, { share }) });
      const picture = this.items.peek().find((item) => item.id === id)?.picture;
      if (picture) rememberPicture(stored.fileId, picture);
      this.#change(id, { status: "ready", share: 1, stored, part: partOf(stored) });
    } catch (error) {
      if (signal.aborted) return;
      const words = wordsOf(asProblem(error));
      this.#change(id, { status: "failed", reason: words.title, canRetry: words.remedy === "again" });
    }
  }

  #change(id: string, change: Partial<Attachment>): void {
    this.items.value = this.items.peek().map((item) => (item.id === id ? { ...item, ...change } : item));
  }
}

/** One line about an attachment, for eyes and for screen readers. */
export function stateInWords({ status, share, bytes, reason }: Attachment): string {
  if (status === "writing") return "Writing it down";
  if (status === "failed") return reason ?? "It could not be uploaded.";
  if (status === "uploading") return `Uploading, ${Math.round(share * 100)} %`;
  return bytes > 0 ? inWords(bytes) : "Attached";
}
