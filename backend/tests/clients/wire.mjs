// Ways to send a client's requests to the server. Each is a `fetch` for HttpAgent.

const TERMINAL = /"type":"(RUN_FINISHED|RUN_ERROR)"/;

/** Keeps a copy of every event stream that passes, as text. */
export class Recorder {
  constructor() {
    this.streams = [];
  }

  /** A fetch that records; everything else is untouched. */
  fetch = async (url, init) => {
    const response = await fetch(url, init);
    if (!isStream(response)) return response;
    const record = this.begin(url, init);
    const decoder = new TextDecoder();
    const copy = new TransformStream({
      transform(chunk, controller) {
        record.body += decoder.decode(chunk, { stream: true });
        controller.enqueue(chunk);
      },
    });
    return new Response(response.body.pipeThrough(copy), { status: response.status, headers: response.headers });
  };

  begin(url, init) {
    const { threadId, runId, protocolVersion, connect } = init?.body ? JSON.parse(init.body) : query(url);
    const path = new URL(url).pathname;
    // A client connects with `connect=true`, or by POST.
    const connects = connect === "true" || (path.endsWith("/events") && init?.method === "POST");
    const record = { path, threadId, runId, protocolVersion, connects, body: "" };
    this.streams.push(record);
    return record;
  }
}

/**
 * A fetch whose connection breaks after every `frames` events, in the middle of the next one, and which
 * then goes on with GET /events from the last event it has: the client sees one body.
 */
export function splicing(base, frames, recorder, cuts) {
  return async (url, init) => {
    let connection = await connect(url, init);
    if (!isStream(connection.response)) return connection.response;
    const record = recorder.begin(url, init);
    const { threadId, runId } = record;
    const place = record.connects ? { threadId, connect: "true" } : { threadId, runId };
    const events = `${base}/events?${new URLSearchParams(place)}`;
    async function* pieces() {
      let last;
      for (;;) {
        for await (const { id, frame, text } of connection.frames(frames)) {
          last = id;
          record.body += text;
          yield frame;
          if (TERMINAL.test(text)) return;
        }
        connection.cut();
        cuts.push(last);
        connection = await connect(events, { headers: last ? { "Last-Event-ID": last } : {} });
        if (connection.response.status !== 200) throw new Error(`events: ${connection.response.status}`);
      }
    }
    return new Response(ReadableStream.from(pieces()), { headers: { "Content-Type": "text/event-stream" } });
  };
}

async function connect(url, init) {
  const abort = new AbortController();
  const response = await fetch(url, { ...init, signal: abort.signal });
  return {
    response,
    cut: () => abort.abort(),
    /** Yields at most `most` whole events; what has come of the next one is lost, as on a broken line. */
    async *frames(most) {
      const decoder = new TextDecoder();
      let rest = "";
      for await (const chunk of response.body) {
        rest += decoder.decode(chunk, { stream: true });
        for (let end; (end = rest.indexOf("\n\n")) >= 0; ) {
          const text = rest.slice(0, end + 2);
          rest = rest.slice(end + 2);
          const id = /^id: (.*)$/m.exec(text)?.[1];
          if (id === undefined) continue; // the retry line, a heartbeat
          yield { id, text, frame: new TextEncoder().encode(text) };
          if (--most === 0) return;
        }
      }
    },
  };
}

function isStream(response) {
  return response.headers.get("content-type") === "text/event-stream";
}

function query(url) {
  return Object.fromEntries(new URL(url).searchParams);
}
