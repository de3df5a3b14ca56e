/**
 * One connection of a thread to the official client: everything so far, then every run, through its pipeline.
 *
 * The client's verifier judges each event, and its reducer holds messages and state. A feed ends when the thread is
 * deleted, when it is closed, or when the pipeline refuses an event; then a new feed begins.
 */
import { HttpAgent, type AgentSubscriber, type BaseEvent } from "@ag-ui/client";
import { FollowedThread, type FollowEnd, type Frame } from "@agentroute/client";
import { Observable } from "rxjs";
import { API, authorization } from "../api/http";
import type { Connection } from "./types";

/** How many messages a thread begins with; older ones come by pages. */
export const NEWEST = 50;
const OPENING_MILLISECONDS = 1000;

interface FeedOptions {
  threadId: string;
  subscriber: AgentSubscriber;
  onFrame(frame: Frame): void;
  onState(state: Connection): void;
  /** The opening is complete: what the client holds may be shown. */
  onReady(): void;
}

export class ThreadFeed extends HttpAgent {
  readonly #thread: FollowedThread;
  readonly #options: FeedOptions;
  #tell: (event: BaseEvent) => void = () => {};
  #told = 0;
  #applied = 0;
  #openingEnds: number | null = null;
  #isReady = false;

  constructor(options: FeedOptions) {
    super({ url: `${API}/runs`, threadId: options.threadId });
    this.#options = options;
    this.#thread = new FollowedThread({
      baseUrl: API,
      threadId: options.threadId,
      limit: NEWEST,
      headers: authorization,
      pauseMs: 1000,
      // A service that restarts is there again in seconds. A crowd is told a longer pause by the service.
      maxPauseMs: 3000,
      onState: options.onState,
      onFrame: (frame) => this.#take(frame),
    });
  }

  /** Whether the service is known to have the thread. */
  get exists(): boolean {
    return this.#thread.exists;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Follow until the end. @throws what the pipeline or the service refused. */
  async follow(): Promise<FollowEnd | null> {
    let failure: Error | null = null;
    this.subscribe({
      onEvent: () => this.#count(),
      // Without this, the client writes every refusal of the service to the console as an error of its own.
      onRunFailed: ({ error }) => {
        failure = error;
        // Read by `onError` of the client 1.0.0, though its types leave it out.
        return { stopPropagation: true } as object;
      },
    });
    await this.connectAgent({}, this.#options.subscriber);
    if (failure !== null) throw failure;
    return this.#thread.end;
  }

  /** The thread exists since a moment ago, or it is worth trying at once. */
  wake(): void {
    this.#thread.begun();
  }

  close(): void {
    this.#thread.close();
  }

  protected override connect(): Observable<BaseEvent> {
    return new Observable((pipeline) => {
      this.#tell = (event) => pipeline.next(event);
      const read = async () => {
        const blocks = this.#thread.blocks();
        // `#take` has passed each event on already, parsed once.
        while (!(await blocks.next()).done);
      };
      read().then(
        () => pipeline.complete(),
        (error: unknown) => pipeline.error(error),
      );
      return () => this.#thread.close();
    });
  }

  #take(frame: Frame): void {
    this.#told++;
    if (this.#openingEnds === null) this.#takeOpening(frame);
    this.#options.onFrame(frame);
    this.#tell(frame.event);
  }

  /** The ids of an opening count down to a cursor (`3-17.2`, `3-17.1`, `3-17`). */
  #takeOpening({ cursor }: Frame): void {
    if (cursor === null || cursor.includes(".")) return;
    this.#openingEnds = this.#told;
    // Should the pipeline drop an event that it does not know, the count would wait for ever.
    setTimeout(() => this.#ready(), OPENING_MILLISECONDS);
  }

  #count(): void {
    this.#applied++;
    if (this.#openingEnds !== null && this.#applied >= this.#openingEnds) this.#ready();
  }

  #ready(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#options.onReady();
  }
}
