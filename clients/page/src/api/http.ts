/** Requests to the service's public routes: the address, the token, and refusals as `Problem`. */
import { signal } from "@preact/signals";
import { Problem } from "../session/types";

const TOKEN = "agentroute.token";

/** Address of the routes, without a slash at the end; relative to the page, so it works below a path of a proxy. */
export const API = new URL("api/v1/agent", document.baseURI.split("#")[0]).href;

/** The bearer token of this tab; empty when the service needs none. */
export const token = signal(sessionStorage.getItem(TOKEN) ?? "");

/** The service has refused the token, or wants one: the sign-in panel is shown. */
export const signInWanted = signal(false);

/** Keep the token for this tab. */
export function signIn(text: string): void {
  token.value = text.trim();
  if (token.value) sessionStorage.setItem(TOKEN, token.value);
  else sessionStorage.removeItem(TOKEN);
  signInWanted.value = false;
}

export function authorization(): Record<string, string> {
  return token.value ? { Authorization: `Bearer ${token.value}` } : {};
}

export type Query = Record<string, string | number | boolean | null | undefined>;

/** Return the address of a route; members of the query that are empty are left out. */
export function address(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return `${API}${path}${text && `?${text}`}`;
}

/**
 * Send a request.
 *
 * @throws Problem when the service refuses, or cannot be reached (`network`).
 */
export async function request(url: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers: { ...authorization(), ...init.headers } });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem("network", "The service cannot be reached. Check the connection, then try again.", 0, true);
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

/** Send JSON and read JSON; `undefined` for an answer without a body. */
export async function requestJson<T>(url: string, init: RequestInit & { json?: unknown } = {}): Promise<T> {
  const { json, ...rest } = init;
  const headers: Record<string, string> = { Accept: "application/json", ...(rest.headers as Record<string, string>) };
  if (json !== undefined) {
    headers["Content-Type"] = "application/json";
    rest.body = JSON.stringify(json);
  }
  const response = await request(url, { ...rest, headers });
  return (response.status === 204 ? undefined : await response.json()) as T;
}

async function problemOf(response: Response): Promise<Problem> {
  return problemOfText(response.status, await response.text().catch(() => ""), (name) => response.headers.get(name));
}

/** Read a refusal, whoever wrote it: the service, or a proxy in front of it. One without a valid token asks for one. */
export function problemOfText(status: number, body: string, header: (name: string) => string | null): Problem {
  if (status === 401) signInWanted.value = true;
  const members = parsed(body);
  const text = (name: string) => (typeof members[name] === "string" ? members[name] : null);
  const errors = Array.isArray(members.errors) ? (members.errors as { pointer: string; message: string }[]) : [];
  const after = Number(header("Retry-After") ?? Number.NaN);
  return new Problem(
    text("code") ?? `http-${status}`,
    text("detail") ?? text("title") ?? `The service answered with HTTP ${status}.`,
    status,
    typeof members.retryable === "boolean" ? members.retryable : status >= 500,
    Number.isFinite(after) ? after : null,
    text("requestId") ?? header("X-Request-Id"),
    errors,
    members,
  );
}

function parsed(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
