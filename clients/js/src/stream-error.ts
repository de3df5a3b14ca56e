/** Errors of streams that could not go on, in words for people. */

/** The stream is over although its run may go on; `message` says why and what to do. */
export class StreamError extends Error {
  override readonly name = "StreamError";

  constructor(
    message: string,
    /**
     * A code of the service (its `docs/problems.md`), or one of the client: `connection-lost`, `thread-gone`,
     * `http-<status>`.
     */
    readonly code: string,
    /** HTTP status of the last answer; `null` when there was none. */
    readonly status: number | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Read why the service refused: RFC 9457, or whatever a proxy says. */
export async function refusal(response: Response): Promise<StreamError> {
  const body = await response.text().catch(() => "");
  let problem: { code?: unknown; detail?: unknown; title?: unknown } = {};
  try {
    problem = (JSON.parse(body) as typeof problem | null) ?? {};
  } catch {
    // A page of a proxy: the status says more.
  }
  const words = [problem.detail, problem.title].find((text) => typeof text === "string" && text !== "");
  const code = typeof problem.code === "string" ? problem.code : `http-${response.status}`;
  const message = `The service refused the stream with HTTP ${response.status}${words ? `: ${String(words)}` : "."}`;
  return new StreamError(message, code, response.status);
}
