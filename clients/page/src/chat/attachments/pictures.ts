/** Where the bytes of a file are for an `img` or `audio` element. */
import { fileAddress, readFile } from "../../api/files";
import { token } from "../../api/http";

const known = new Map<string, Promise<string>>();

/** The bytes of a file are in this browser already: they need not be fetched. */
export function rememberPicture(fileId: string, objectUrl: string): void {
  known.set(fileId, Promise.resolve(objectUrl));
}

/** Return an address that an element can show. With a token only `fetch` may read the file, so it becomes a blob. */
export function pictureOf(fileId: string): Promise<string> {
  const held = known.get(fileId);
  if (held) return held;
  if (token.peek() === "") return Promise.resolve(fileAddress(fileId));
  const made = readFile(fileId).then((blob) => URL.createObjectURL(blob));
  known.set(fileId, made);
  made.catch(() => known.delete(fileId));
  return made;
}
