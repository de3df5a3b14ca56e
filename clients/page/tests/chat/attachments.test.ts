import { expect, test, vi } from "vitest";
import { inWords, kindOf, MAX_TEXT_BYTES, mediaTypeOf, refusal } from "../../src/chat/attachments/media-type";
import { partOf } from "../../src/chat/attachments/parts";
import { Problem } from "../../src/session/types";
import type { StoredFile } from "../../src/api/files";

vi.stubGlobal("document", { baseURI: "http://page.test/" });
vi.stubGlobal("sessionStorage", { getItem: () => null });
vi.stubGlobal("URL", Object.assign(URL, { createObjectURL: () => "blob:x", revokeObjectURL: () => undefined }));
const { AttachmentTray, stateInWords } = await import("../../src/chat/attachments/tray");

test.each([
  ["a.png", "image/png", 5, null],
  ["a.pdf", "application/pdf", 5, null],
  ["a.wav", "audio/x-wav", 5, null],
  ["a.mp3", "audio/mpeg", 5, null],
  ["notes.md", "", MAX_TEXT_BYTES, null],
  ["main.ts", "video/mp2t", 5, null],
  ["Makefile", "", 5, null],
  ["empty.txt", "text/plain", 0, "The file is empty."],
  ["long.txt", "text/plain", MAX_TEXT_BYTES + 1, "A text may have 128 KB."],
  ["big.png", "image/png", 2001, "Larger than 2 KB."],
  ["a.m4a", "audio/mp4", 5, "Sound has to be WAV or MP3."],
  ["film.mp4", "video/mp4", 5, "Videos cannot be given to the model."],
  ["a.zip", "application/zip", 5, "Only images, PDF, text, WAV and MP3."],
])("%s of type '%s' with %d bytes: %s", (name, type, size, reason) => {
  expect(refusal({ name, type, size }, { maxBytes: size > 2000 && size < 3000 ? 2000 : null })).toBe(reason);
});

test("types, kinds and sizes", () => {
  expect(mediaTypeOf({ name: "x.YAML", type: "" })).toBe("application/yaml");
  expect(mediaTypeOf({ name: "x", type: "Image/PNG; a=b" })).toBe("image/png");
  expect(["image/png", "audio/wav", "text/csv"].map(kindOf)).toEqual(["image", "audio", "document"]);
  expect([0, 1023, 1536, 10 << 20, 5 * 2 ** 30].map(inWords)).toEqual(["0 B", "1023 B", "1.5 KB", "10 MB", "5 GB"]);
});

interface Started {
  file: File;
  signal: AbortSignal;
  onProgress(share: number): void;
  resolve(stored: StoredFile): void;
  reject(error: unknown): void;
}

function tray() {
  const started: Started[] = [];
  const upload = (file: File, { signal, onProgress }: { signal: AbortSignal; onProgress(share: number): void }) =>
    new Promise<StoredFile>((resolve, reject) => started.push({ file, signal, onProgress, resolve, reject }));
  return { started, files: new AttachmentTray(() => ({ maxBytes: 1000 }), upload) };
}

const text = (name: string, size = 3) => new File(["x".repeat(size)], name, { type: "text/plain" });
const stored = (file: File): StoredFile => ({ fileId: `id-${file.name}`, name: file.name, mediaType: "text/plain", bytes: file.size });

test("each file is uploaded at once, three at a time, and becomes a part that names it", async () => {
  const { started, files } = tray();
  files.add(["a", "b", "c", "d"].map((name) => text(name)));
  expect(started.length).toBe(3);
  started[0]!.onProgress(0.5);
  expect(stateInWords(files.items.value[0]!)).toBe("Uploading, 50 %");
  started[0]!.resolve(stored(started[0]!.file));
  await vi.waitFor(() => expect(started.length).toBe(4));
  for (const one of started.slice(1)) one.resolve(stored(one.file));
  await vi.waitFor(() => expect(files.isUploading.value).toBe(false));

  const parts = files.take();

  expect(parts.map((part) => (part as { source: { value: string } }).source.value)).toEqual(["id-a", "id-b", "id-c", "id-d"]);
  expect(parts[0]).toEqual({
    type: "document",
    source: { type: "file", value: "id-a", provider: "agentroute", mimeType: "text/plain" },
    metadata: { filename: "a" },
  });
  expect(files.items.value).toEqual([]);
});

test("what cannot be attached is not sent anywhere, and says why", () => {
  const { started, files } = tray();
  files.add([text("big", 1001)]);

  expect(started).toEqual([]);
  expect(files.items.value.map(stateInWords)).toEqual(["Larger than 1000 B."]);
  expect([files.hasFailed.value, files.items.value[0]!.canRetry]).toEqual([true, false]);
});

test("a cancelled upload is broken off and makes room for the next", async () => {
  const { started, files } = tray();
  files.add(["a", "b", "c", "d"].map((name) => text(name)));
  files.remove(files.items.value[0]!.id);
  expect(started[0]!.signal.aborted).toBe(true);
  started[0]!.reject(new DOMException("", "AbortError"));
  await vi.waitFor(() => expect(started.length).toBe(4));
  expect(files.items.value.map((item) => item.name)).toEqual(["b", "c", "d"]);
});

test("a refusal of the service is said in words; what may succeed later can be tried again", async () => {
  const { started, files } = tray();
  files.add([text("a"), text("b")]);
  started[0]!.reject(new Problem("files-unavailable", "x", 503, true));
  started[1]!.reject(new Problem("attachment-unsupported", "x", 422, false));
  await vi.waitFor(() => expect(files.isUploading.value).toBe(false));
  expect(files.items.value.map((item) => [item.reason, item.canRetry])).toEqual([
    ["The store of files does not answer.", true],
    ["An attachment cannot be given to the model.", false],
  ]);

  files.retry(files.items.value[0]!.id);
  started[2]!.resolve(stored(started[2]!.file));
  await vi.waitFor(() => expect(files.items.value[0]!.status).toBe("ready"));
});

test("a recording that cannot be attached can be written down", async () => {
  const { files } = tray();
  files.add([new File(["x"], "memo.m4a", { type: "audio/mp4" }), new File(["x"], "film.mp4", { type: "video/mp4" })]);
  expect(files.items.value.map((item) => item.canWriteDown)).toEqual([true, false]);
  vi.stubGlobal("fetch", () => Promise.resolve(new Response('{"text":" hello "}', { headers: { "Content-Type": "application/json" } })));
  expect(await files.writeDown(files.items.value[0]!.id)).toBe("hello");
  expect(files.items.value.map((item) => item.name)).toEqual(["film.mp4"]);

  files.add([new File(["x"], "memo.m4a", { type: "audio/mp4" })]);
  vi.stubGlobal("fetch", () => Promise.resolve(new Response('{"code":"audio-too-long"}', { status: 422 })));
  expect(await files.writeDown(files.items.value[1]!.id)).toBeNull();
  expect(stateInWords(files.items.value[1]!)).toBe("The recording is too long.");
});

test("a message may have twenty files", () => {
  const { files } = tray();
  files.add(Array.from({ length: 21 }, (_, number) => text(`f${number}`)));
  expect(files.items.value.filter((item) => item.status === "failed").map((item) => item.reason)).toEqual(["A message may have 20 files."]);
});

test("stored files of a draft come back", () => {
  const { files } = tray();
  const part = partOf({ fileId: "x", name: "a.png", mediaType: "image/png", bytes: 7 });
  files.restore([part]);
  expect(files.stored.value.map(({ fileId, name }) => [fileId, name])).toEqual([["x", "a.png"]]);
  expect(stateInWords(files.items.value[0]!)).toBe("Attached");
  expect(files.take()).toEqual([part]);
});

test("without a store of files the message has the bytes, as many as a request may have", async () => {
  const uploads: unknown[] = [];
  const upload = () => Promise.reject(uploads.push("uploaded"));
  const files = new AttachmentTray(() => ({ maxBytes: 1000, areStored: false }), upload);
  files.add([new File(["hello"], "Makefile"), text("more", 900), text("too much", 200)]);
  await vi.waitFor(() => expect(files.isUploading.value).toBe(false));

  expect(uploads).toEqual([]);
  expect(files.stored.value).toEqual([]);
  expect(files.items.value.map(({ status, reason }) => [status, reason])).toEqual([
    ["ready", null],
    ["ready", null],
    ["failed", "Together more than 1000 B."],
  ]);
  files.remove(files.items.value[2]!.id);
  const parts = files.take();
  expect(parts[0]).toEqual({
    type: "document",
    source: { type: "data", value: "aGVsbG8=", mimeType: "text/plain" },
    metadata: { filename: "Makefile" },
  });
  // A message that is changed keeps them.
  files.restore(parts);
  expect(files.take()).toEqual(parts);
});

test("a token goes with the request for a picture, which is shown as a blob and fetched once", async () => {
  const { token } = await import("../../src/api/http");
  const { pictureOf } = await import("../../src/chat/attachments/pictures");
  expect(await pictureOf("f1")).toBe("http://page.test/api/v1/agent/files/f1");
  token.value = "secret";
  const fetched = vi.fn((_url: string, _init: RequestInit) => Promise.resolve(new Response("bytes")));
  vi.stubGlobal("fetch", fetched);
  expect([await pictureOf("f2"), await pictureOf("f2")]).toEqual(["blob:x", "blob:x"]);
  expect(fetched).toHaveBeenCalledTimes(1);
  expect(fetched.mock.calls[0]![1].headers).toMatchObject({ Authorization: "Bearer secret" });
  token.value = "";
});

test("an upload that is refused for want of a token asks for one", async () => {
  const { signInWanted } = await import("../../src/api/http");
  const { uploadFile } = await import("../../src/api/files");
  class Refused {
    readonly status = 401;
    readonly responseText = '{"code": "unauthenticated"}';
    readonly upload = {};
    onload = () => {};
    open() {}
    setRequestHeader() {}
    getResponseHeader = () => null;
    send() {
      this.onload();
    }
  }
  vi.stubGlobal("XMLHttpRequest", Refused);
  const upload = uploadFile(text("a.txt"), { onProgress: () => {}, signal: new AbortController().signal });
  await expect(upload).rejects.toMatchObject({ code: "unauthenticated" });
  expect(signInWanted.value).toBe(true);
  signInWanted.value = false;
});
