/** A thread in the hands of the official client: its reducer keeps the messages, its verifier judges every event. */
import { HttpAgent, runHttpRequest, transformHttpEventStream, type AgentSubscriber } from "@ag-ui/client";
import { streamResponse } from "./body.js";
import { FollowedThread, type FollowEnd, type FollowOptions } from "./followed-thread.js";
import { INPUT_EVENT, withInput, type RunInput } from "./run-input.js";
import { StreamError } from "./stream-error.js";
import { browserWake, pause } from "./wake.js";

/** How a `ThreadAgent` follows its thread. */
export interface ThreadAgentConfig extends Omit<FollowOptions, "headers"> {
  readonly headers?: Record<string, string>;
  /** Told when the client refuses what the service said, before the agent connects anew. */
  readonly onViolation?: (error: unknown) => void;
}

/** Streams in a row that the client may refuse before `follow()` gives up. */
const VIOLATIONS = 3;

/**
 * An `HttpAgent` that follows its thread: `messages`, `state` and `pendingInterrupts` are always those of the thread,
 * whichever device started a run.
 *
 * Subscribe before `follow()`: the official client does not tell those who come later.
 *
 * It only listens. Start runs with `POST /runs` and `Accept: application/json`; their events arrive here. Do not call
 * its `runAgent()`.
 */
export class ThreadAgent extends HttpAgent {
  readonly #config: ThreadAgentConfig;
  #thread: FollowedThread | null = null;
  #abort = new AbortController();
  #begun = false;

  constructor(config: ThreadAgentConfig) {
    super({
      url: `${config.baseUrl}/runs`,
      threadId: config.threadId,
      ...(config.headers && { headers: config.headers }),
    });
    this.#config = config;
  }

  /** Cursor of the last event; `null` before the first. */
  get cursor(): string | null {
    return this.#thread?.cursor ?? null;
  }

  /**
   * Follow the thread until `close()` (`closed`), or until somebody deletes it (`deleted`).
   *
   * When the events after the cursor are no longer kept, it connects anew, and the snapshot takes the place of what the
   * agent holds.
   *
   * @throws StreamError when the service refuses for good; the client's own error when it refuses the stream again and
   * again.
   */
  async follow(): Promise<Exclude<FollowEnd, "expired">> {
    const { signal } = this.#abort;
    for (let violations = 0, again = false; ; again = true) {
      const thread = this.#open();
      // An agent with open questions refuses to connect; the stream tells them again.
      this.pendingInterrupts = [];
      try {
        await this.connectAgent({}, listening(again));
        violations = 0;
      } catch (error) {
        if (!signal.aborted) {
          if (error instanceof StreamError || ++violations > VIOLATIONS) throw error;
          this.#config.onViolation?.(error);
          await pause(1000 * violations, this.#config.wake ?? browserWake, signal).catch(() => {});
        }
      } finally {
        // The client goes on reading what it has refused.
        thread.close();
      }
      if (signal.aborted) return "closed";
      if (thread.end === "deleted") return "deleted";
    }
  }

  /** Look at once: the thread has been begun, by a `POST /runs` that was accepted. */
  begun(): void {
    this.#begun = true;
    this.#thread?.begun();
  }

  /** Stop following. The runs go on. */
  close(): void {
    this.#abort.abort();
  }

  #open(): FollowedThread {
    const { onViolation, ...options } = this.#config;
    this.#thread = new FollowedThread({ ...options, headers: () => this.headers }, this.#abort.signal);
    if (this.#begun) this.#thread.begun();
    return this.#thread;
  }

  protected override connect() {
    const thread = this.#thread ?? this.#open();
    const answer = async () => streamResponse(thread.blocks(), () => thread.close());
    return transformHttpEventStream(runHttpRequest(answer));
  }
}

/**
 * What the thread tells besides AG-UI's own events.
 *
 * @param anew The first snapshot replaces the messages: the client itself would keep reasoning that the snapshot lacks.
 */
function listening(anew: boolean): AgentSubscriber {
  let replaces = anew;
  return {
    onMessagesSnapshotEvent({ event }) {
      if (!replaces) return;
      replaces = false;
      return { messages: event.messages, stopPropagation: true };
    },
    onCustomEvent({ event, messages }) {
      if (event.name !== INPUT_EVENT) return;
      return { messages: withInput(messages, event.value as RunInput) };
    },
  };
}
