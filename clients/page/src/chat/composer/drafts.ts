/** What is written and not sent yet, kept for each thread in this browser. */
import type { StoredFile } from "../../api/files";

export interface Draft {
  text: string;
  /** Files that are uploaded already. */
  files: readonly StoredFile[];
}

const PREFIX = "agentroute.draft.";
const KEPT_MILLISECONDS = 30 * 24 * 3600 * 1000;
const EMPTY: Draft = { text: "", files: [] };

export function loadDraft(threadId: string): Draft {
  try {
    const kept = JSON.parse(localStorage.getItem(PREFIX + threadId) ?? "null") as Partial<Draft> | null;
    if (typeof kept?.text !== "string") return EMPTY;
    return { text: kept.text, files: Array.isArray(kept.files) ? kept.files : [] };
  } catch {
    return EMPTY;
  }
}

/** Keep a draft; an empty one is forgotten. A browser that refuses to store loses nothing but the draft. */
export function saveDraft(threadId: string, { text, files }: Draft): void {
  try {
    if (text === "" && files.length === 0) localStorage.removeItem(PREFIX + threadId);
    else localStorage.setItem(PREFIX + threadId, JSON.stringify({ text, files, at: Date.now() }));
  } catch {
    // Storage is full, or switched off.
  }
}

/** Forget drafts of more than a month ago: their threads may be gone. */
export function forgetOldDrafts(now = Date.now()): void {
  try {
    for (const key of Object.keys(localStorage).filter((name) => name.startsWith(PREFIX))) {
      const { at } = JSON.parse(localStorage.getItem(key) ?? "{}") as { at?: number };
      if (typeof at !== "number" || now - at > KEPT_MILLISECONDS) localStorage.removeItem(key);
    }
  } catch {
    // Storage is switched off.
  }
}
