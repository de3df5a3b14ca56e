/** How long a browser may take to begin to save a file. */
const KEPT_MILLISECONDS = 10_000;

/** Save bytes as a file of the user's. Not opened in a tab: a page of somebody else's making is not ours to show. */
export function saveFile(bytes: Blob, name: string): void {
  const url = URL.createObjectURL(bytes);
  saveAddress(url, name);
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MILLISECONDS);
}

export function saveAddress(url: string, name: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}
