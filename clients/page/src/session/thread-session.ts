/** An open thread: follows it, sends to it, and holds what is shown of it. */
import type { AgentSubscriber, BaseEvent, Interrupt, Message, ResumeEntry } from "@ag-ui/client";
import { StreamError, type Frame } from "@agentroute/client";
import { batch, computed, signal, type ReadonlySignal } from "@preact/signals";
import { signInWanted, token } from "../api/http";
import { cancelRun, startRun, type RunBody } from "../api/runs";
import { MemoryEventLog } from "./event-log";
import { newId } from "./ids";
import { MessageStore } from "./message-store";
import { isOnline } from "./online";
import { OlderMessages } from "./older-messages";
import { inputOf, isBegunHere, OwnRuns, withRun, type OwnRun } from "./own-runs";
import { afterEnd, afterEvent, isLive } from "./run-view";
import { ThreadFeed } from "./thread-feed";
import { isUnanswered, lastQuestion } from "./turns";
import type { ClientTool, Connection, RunView, SendOptions, ThreadSession, UserContent } from "./types";

export interface SessionOptions {
  threadId: string;
  /** Nothing is asked of the service before the first message. */
  isNew: boolean;
  title: ReadonlySignal<string | null>;
  /** The agent of a new thread; `null` is the default. */
  agentId: ReadonlySignal<string | null>;
  tools: () => readonly ClientTool[];
  /** A run was accepted or has ended. */
  onActivity(threadId: string): void;
}

const AGAIN_MILLISECONDS = 2000;

export class LiveThreadSession implements ThreadSession {
  readonly threadId: string;
  readonly title: ReadonlySignal<string | null>;
  readonly store = new MessageStore();
  readonly state = signal<unknown>({});
  readonly agentState = signal<unknown>({});
  readonly interrupts = signal<readonly Interrupt[]>([]);
  readonly run = signal<RunView | null>(null);
  readonly unanswered = signal<ReadonlyMap<string, RunView>>(new Map());
  readonly #line = signal<Connection>("connecting");
  /** Without a network a line may look alive for long: nothing breaks it, and nothing comes. */
  readonly connection = computed<Connection>(() => (isOnline.value ? this.#line.value : "offline"));
  readonly isOpened = signal(false);
  readonly isGone = signal(false);
  readonly log = new MemoryEventLog();
  readonly #options: SessionOptions;
  readonly #older: OlderMessages;
  readonly #own = new OwnRuns();
  #feed: ThreadFeed | null = null;
  #held: readonly Message[] = [];
  #heldState: unknown = {};
  #edited: { value: unknown } | null = null;
  #run: RunView | null = null;
  #interrupts: readonly Interrupt[] = [];
  #isClosed = false;
  #isDrawing = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.threadId = options.threadId;
    this.title = options.title;
    this.#older = new OlderMessages(options.threadId);
    if (options.isNew) {
      this.#line.value = "live";
      this.isOpened.value = true;
    } else void this.#follow();
  }

  /** Whether the service is known to have the thread. */
  get exists(): boolean {
    return this.#feed?.exists ?? false;
  }

  get messages(): ReadonlySignal<readonly Message[]> {
    return this.store.messages;
  }

  get waiting(): ReadonlySignal<ReadonlySet<string>> {
    return this.#own.messageIds;
  }

  get hasOlder(): ReadonlySignal<boolean> {
    return this.#older.hasMore;
  }

  async send(content: UserContent, options: SendOptions = {}): Promise<void> {
    const message: Message = { id: options.messageId ?? newId("m"), role: "user", content };
    const { onBusy = "enqueue", onInterrupt = "refuse" } = options;
    await this.#start({ messages: [message] }, { onBusy, onInterrupt });
  }

  async regenerate(messageId: string, content?: UserContent): Promise<void> {
    const messages: Message[] = content === undefined ? [] : [{ id: newId("m"), role: "user", content }];
    const replaces = { messageId, keeps: content === undefined };
    await this.#start({ messages, replaces }, { regenerateFrom: messageId, onBusy: "supersede" });
  }

  async resume(answers: readonly ResumeEntry[]): Promise<void> {
    await this.#start({ messages: [] }, {}, answers);
  }

  async answerToolCalls(results: readonly { toolCallId: string; content: string; error?: string }[]): Promise<void> {
    const messages = results.map((result): Message => ({ id: newId("m"), role: "tool", ...result }));
    await this.#start({ messages }, {});
  }

  async cancel(): Promise<void> {
    const run = this.run.peek();
    if (run !== null && isLive(run)) await cancelRun(this.threadId, run.runId);
  }

  editState(next: unknown): void {
    this.#edited = next === undefined ? null : { value: next };
    this.state.value = next === undefined ? this.agentState.peek() : next;
  }

  isOwn(runId: string): boolean {
    return isBegunHere(runId);
  }

  async loadOlder(): Promise<void> {
    if (await this.#older.load()) this.#show();
  }

  close(): void {
    this.#isClosed = true;
    this.#feed?.close();
  }

  async #start(sent: Omit<OwnRun, "runId">, props: Record<string, unknown>, resume?: readonly ResumeEntry[]) {
    const edited = this.#edited;
    const run: OwnRun = { ...sent, runId: newId("run"), ...(edited && { state: edited }) };
    const agentId = this.#feed === null ? this.#options.agentId.peek() : null;
    const body: RunBody = {
      threadId: this.threadId,
      runId: run.runId,
      messages: edited && isEmptyObject(edited.value) ? [...this.#held.slice(-1), ...run.messages] : run.messages,
      tools: this.#options.tools().map(({ name, description, parameters }) => ({ name, description, parameters })),
      // The stream of the thread has told this page everything; a copy of it would be sent for nothing.
      forwardedProps: { ...props, messagesSnapshot: "never", ...(agentId && { agentId }) },
      ...(resume && { resume }),
      ...(edited && { state: edited.value }),
    };
    this.#own.add(run);
    this.#show();
    try {
      const accepted = await startRun(body);
      // The stream can be faster than this answer, and have told the whole run.
      if (accepted.status === "queued" && this.#own.awaits(run.runId) && !isLive(this.#run)) {
        this.#run = { runId: run.runId, status: "queued", stages: [], error: null };
      }
    } catch (error) {
      this.#own.take(run.runId);
      throw error;
    } finally {
      this.#show();
    }
    if (this.#feed === null) void this.#follow();
    else this.#feed.wake();
    this.#options.onActivity(this.threadId);
  }

  /** Follow the thread until it is closed or deleted, over everything that may go wrong. */
  async #follow(): Promise<void> {
    while (!this.#isClosed && !this.isGone.peek()) {
      const feed = (this.#feed = this.#newFeed());
      try {
        if ((await feed.follow()) === "deleted") this.isGone.value = true;
      } catch (error) {
        if (error instanceof StreamError && error.status === 401) await this.#signedIn();
        else {
          // A stream that breaks the protocol is a fault to be found, although the page goes on.
          if (!(error instanceof StreamError)) console.error(error);
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MILLISECONDS));
        }
      }
      feed.close();
    }
  }

  async #signedIn(): Promise<void> {
    const refused = token.peek();
    signInWanted.value = true;
    await new Promise<void>((resolve) => {
      const stop = token.subscribe((now) => {
        if (now === refused) return;
        queueMicrotask(() => stop());
        resolve();
      });
    });
  }

  #newFeed(): ThreadFeed {
    const { threadId } = this;
    const feed: ThreadFeed = new ThreadFeed({
      threadId,
      subscriber: this.#subscriber(() => feed),
      onFrame: (frame) => this.#note(frame),
      onState: (state) => (this.#line.value = this.isOpened.peek() && state === "connecting" ? "live" : state),
      onReady: () => this.#soon(),
    });
    return feed;
  }

  #note({ cursor, event, data }: Frame): void {
    this.log.add({ cursor, event, receivedAt: Date.now(), bytes: new TextEncoder().encode(data).length });
  }

  #subscriber(feed: () => ThreadFeed): AgentSubscriber {
    let isOpened = false;
    return {
      onEvent: ({ event }) => this.#take(event),
      onRunStartedEvent: ({ event, messages }) => this.#begun(event.runId, messages, feed().isReady),
      onCustomEvent: ({ event, messages }) => {
        this.#older.announced(event);
        const input = inputOf(event);
        return input ? { messages: [...this.#with(messages, input)] } : undefined;
      },
      onMessagesSnapshotEvent: ({ event }) => {
        // The first one is that of the opening. It may be the opening's last event, which makes the feed ready.
        if (!isOpened) this.#older.opened(this.store.messages.peek(), event.messages);
        isOpened = true;
      },
      onRunFinishedEvent: () => this.#options.onActivity(this.threadId),
      onRunErrorEvent: () => this.#options.onActivity(this.threadId),
      onMessagesChanged: ({ messages }) => {
        this.#held = messages;
        this.#soon();
      },
      onStateChanged: ({ state }) => {
        this.#heldState = state;
        this.#soon();
      },
    };
  }

  #take(event: BaseEvent): void {
    const run = afterEvent(this.#run, event);
    if (run === this.#run) return;
    this.#run = run;
    // Here and not when it is drawn: the next run may begin before that.
    if (run !== null && !isLive(run)) {
      this.unanswered.value = afterEnd(this.unanswered.peek(), lastQuestion(this.#held), run, isUnanswered(this.#held));
    }
    const outcome = (event as { outcome?: { type: string; interrupts?: Interrupt[] } }).outcome;
    this.#interrupts = outcome?.type === "interrupt" ? (outcome.interrupts ?? []) : [];
    this.#soon();
  }

  /**
   * Give the official client at once what the stream tells a moment later, if at all. An opening tells it itself: the
   * client would keep what it was given in front of the snapshot.
   */
  #begun(runId: string, given: readonly Message[], isReady: boolean) {
    const own = this.#own.take(runId);
    const messages = this.#older.relieve(own && isReady ? this.#with(given, own) : given);
    if (own?.state === undefined) return { messages: [...messages] };
    if (own.state === this.#edited) this.#edited = null;
    // At once and not with the next drawing: what the agent changes in the same moment is a change of this state.
    this.agentState.value = this.#heldState = own.state.value;
    return { messages: [...messages], state: own.state.value };
  }

  #with(messages: readonly Message[], run: OwnRun): readonly Message[] {
    const isOlder = run.replaces !== undefined && this.#older.cut(run.replaces);
    return withRun(isOlder ? [] : messages, run);
  }

  /** Draw once a frame, whatever arrives; also when no frames are drawn, because the tab is hidden. */
  #soon(): void {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    const draw = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      this.#isDrawing = false;
      this.#show();
    };
    const frame = requestAnimationFrame(draw);
    const timer = setTimeout(draw, 100);
  }

  #show(): void {
    // Half an opening is not shown: it begins with open messages emptied.
    if (this.#feed !== null && !this.#feed.isReady) {
      if (!this.isOpened.peek() || this.#feed.messages.length === 0) return;
    }
    batch(() => {
      this.store.show(this.#own.applied(this.#older.before(this.#held)));
      this.agentState.value = this.#heldState;
      this.state.value = this.#edited ? this.#edited.value : this.#heldState;
      this.run.value = this.#run;
      this.interrupts.value = this.#interrupts;
      this.isOpened.value = true;
    });
  }
}

/** `{}` empties the state only in a request that repeats the newest message (docs/adr/0012). */
function isEmptyObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length === 0;
}
