/** What this page has sent to start runs, for "copy as curl". */

export interface SentRequest {
  /** Below the API's address. */
  path: string;
  /** JSON text, as it was sent. */
  body: string;
}

/** Bodies may hold images: the newest are enough. */
const MOST = 20;

const requests = new Map<string, SentRequest>();

export function rememberRequest(runId: string, request: SentRequest): void {
  requests.delete(runId);
  requests.set(runId, request);
  const [oldest] = requests.keys();
  if (requests.size > MOST && oldest !== undefined) requests.delete(oldest);
}

export function sentRequest(runId: string): SentRequest | undefined {
  return requests.get(runId);
}
