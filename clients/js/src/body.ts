/** Frames as the body of an answer, for the official client. */

/**
 * Return an answer whose body is what the generator yields; it ends or fails as the generator does.
 *
 * @param blocks The text of the body.
 * @param stop Makes the generator end soon, also while it waits. Called when nobody reads the body any more.
 * @param headersOfAnswer Headers to take over.
 */
export function streamResponse(
  blocks: AsyncGenerator<string>,
  stop: () => void,
  headersOfAnswer?: HeadersInit,
): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await blocks.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      stop();
      await blocks.return(undefined).catch(() => {});
    },
  });
  const headers = new Headers(headersOfAnswer);
  headers.set("Content-Type", "text/event-stream");
  // Of the body as it came over the line.
  headers.delete("Content-Length");
  headers.delete("Content-Encoding");
  const response = new Response(body, { headers });
  Object.defineProperty(response, "body", { value: cancellable(body) });
  return response;
}

/**
 * `runHttpRequest` of `@ag-ui/client` 1.0.0 cancels its reader without a `catch` after a body has failed, and the promise
 * rejects with the failure again: Node would end the process. Can go when the client catches.
 */
function cancellable(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const getReader = body.getReader.bind(body) as () => ReadableStreamDefaultReader<Uint8Array>;
  const patched = () => {
    const reader = getReader();
    const cancel = reader.cancel.bind(reader);
    reader.cancel = (reason?: unknown) => cancel(reason).catch(() => {});
    return reader;
  };
  return Object.defineProperty(body, "getReader", { value: patched });
}
