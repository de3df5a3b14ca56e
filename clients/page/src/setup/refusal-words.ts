/** What a user is told when a model was not taken. Pure. */
import { Problem } from "../session/types";

export interface Refusal {
  /** What is wrong and what to do. */
  text: string;
  /** The endpoint's own words, for those who know it. */
  said: string;
  /** Models that the endpoint has, if the name was wrong. */
  models: readonly string[];
  /** The field to look at. */
  field: "baseUrl" | "apiKey" | "name" | null;
}

const FIELDS: Record<string, Refusal["field"]> = {
  unreachable: "baseUrl",
  address: "baseUrl",
  key: "apiKey",
  "model-unknown": "name",
};
const POINTERS: Record<string, Refusal["field"]> = { "/baseUrl": "baseUrl", "/apiKey": "apiKey", "/name": "name" };

export function refusalOf(error: unknown): Refusal {
  const none = { said: "", models: [], field: null };
  if (!(error instanceof Problem)) return { ...none, text: "Something went wrong in this page. Try again." };
  const { members } = error;
  const [first] = error.errors;
  if (first) {
    const field = POINTERS[first.pointer] ?? null;
    const names = { baseUrl: "The address", apiKey: "The key", name: "The name" };
    return { ...none, field, text: field ? `${names[field]} ${first.message}.` : error.message };
  }
  return {
    text: error.message,
    said: typeof members.said === "string" ? members.said : "",
    models: Array.isArray(members.models) ? members.models.filter((name): name is string => typeof name === "string") : [],
    field: FIELDS[String(members.reason)] ?? null,
  };
}

/** An address that is worth a question to its server. */
export function isAddress(text: string): boolean {
  try {
    const url = new URL(text.trim());
    return (url.protocol === "http:" || url.protocol === "https:") && url.hostname !== "";
  } catch {
    return false;
  }
}
