/**
 * One connection of a thread to the official client: everything so far, then every run.
 *
 * The client's verifier judges each event, and its reducer holds messages and state. They are used without the client's
 * agent: what an agent adds is for other services and older versions, and makes a fifth of the page (docs/adr/0051). A
 * feed ends when the thread is deleted, when it is closed, or when the verifier refuses an event; then a new feed begins.
 */
import {
  defaultApplyEvents,
  verifyEvents,
  type AbstractAgent,
  type AgentStateMutation,
  type AgentSubscriber,
  type BaseEvent,
  type Interrupt,
  type Message,
  type RunAgentInput,
  type State,
} from "@ag-ui/client";
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

export class ThreadFeed {
  /** What the reducer holds. It reads and sets these three itself. */
  messages: Message[] = [];
  state: State = {};
  pendingInterrupts: Interrupt[] = [];
  readonly #thread: FollowedThread;
  readonly #options: FeedOptions;
  #tell: (event: BaseEvent) => void = () => {};
  #told = 0;
  #applied = 0;
  #openingEnds: number | null = null;
  #isReady = false;

  constructor(options: FeedOptions) {
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

  /** Follow until the end. @throws what the verifier or the service refused. */
  async follow(): Promise<FollowEnd | null> {
    const { threadId } = this.#options;
    const input: RunAgentInput = { threadId, runId: "", messages: [], tools: [], context: [], forwardedProps: {}, state: {} };
    const agent = this as unknown as AbstractAgent;
    const subscribers = [{ onEvent: () => this.#count() }, this.#options.subscriber];
    const changes = defaultApplyEvents(input, verifyEvents()(this.#events()), agent, subscribers);
    await new Promise<void>((resolve, reject) => {
      changes.subscribe({ next: (change) => this.#hold(change, { agent, input }), error: reject, complete: resolve });
    });
    return this.#thread.end;
  }

  /** The thread exists since a moment ago, or it is worth trying at once. */
  wake(): void {
    this.#thread.begun();
  }

  close(): void {
    this.#thread.close();
  }

  #events(): Observable<BaseEvent> {
    return new Observable((pipeline) => {
      // The reducer goes on writing in the messages of a snapshot, and the inspector shows the event as it came.
      this.#tell = (event) => pipeline.next(structuredClone(event));
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

  #hold(change: AgentStateMutation, place: { agent: AbstractAgent; input: RunAgentInput }): void {
    const { subscriber } = this.#options;
    if (change.messages !== undefined) {
      this.messages = change.messages;
      subscriber.onMessagesChanged?.({ messages: this.messages, state: this.state, ...place });
    }
    if (change.state !== undefined) {
      this.state = change.state;
      subscriber.onStateChanged?.({ state: this.state, messages: this.messages, ...place });
    }
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
    // Should the reducer drop an event that it does not know, the count would wait for ever.
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
