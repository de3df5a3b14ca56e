/** What the inspector shows of a thread: which run, its events from every source, and what the service says of it. */
import { batch, computed, effect, signal } from "@preact/signals";
import { isLive, isMadeUp, type RunDetails } from "../api/run-details";
import { listRuns } from "../api/run-queries";
import { Problem, type LoggedEvent, type ThreadSession } from "../session/types";
import { placeOf } from "../session/cursors";
import { type EventFilter, type EventRow, joinRows, type ListedEvent, NO_FILTER, rowsOfRun } from "./event-rows";
import { readRunEvents } from "./run-events";

export class InspectorModel {
  /** `null`: always the newest run. */
  readonly chosenRun = signal<string | null>(null);
  readonly filter = signal<EventFilter>(NO_FILTER);
  /** Only events of the shown run, or those of every run. */
  readonly allRuns = signal(false);
  /** The log as it was when the list was stopped; `null` while it goes on. */
  readonly stopped = signal<readonly LoggedEvent[] | null>(null);
  readonly runs = signal<readonly RunDetails[]>([]);
  readonly olderRuns = signal<string | null>(null);
  readonly problem = signal<Problem | null>(null);
  readonly isLoading = signal(false);
  /** A drawing happens at most once a frame, however fast events come. */
  private readonly frame = signal(0);
  private readonly loaded = signal<readonly ListedEvent[]>([]);
  private readonly loading = new Map<string, AbortController>();
  private readonly stop: (() => void)[] = [];
  private asked = 0;
  private cursors: { version: number; known: ReadonlySet<string | null> } | null = null;

  /** Of the thread's newest run; `null` for a thread that nobody has written in, which does not exist yet. */
  private readonly newest = computed(() => {
    const run = this.session.run.value;
    return run === null || isMadeUp(run.runId) ? null : run.runId;
  });

  readonly runId = computed(() => this.chosenRun.value ?? this.newest.value ?? this.runs.value[0]?.runId ?? null);
  readonly run = computed(() => this.runs.value.find((run) => run.runId === this.runId.value) ?? null);
  readonly rows = computed<readonly EventRow[]>(() => {
    this.frame.value;
    return joinRows(this.stopped.value ?? this.session.log.entries(), this.loaded.value);
  });
  /** Of the shown run, also while the list is stopped. */
  readonly runRows = computed<readonly EventRow[]>(() => {
    this.frame.value;
    const id = this.runId.value;
    const all = this.stopped.value === null ? this.rows.value : joinRows(this.session.log.entries(), this.loaded.value);
    return id === null ? [] : newestSegment(rowsOfRun(all, id));
  });
  /** The service's clock minus this browser's, in milliseconds: an event cannot arrive before it was written. */
  readonly clockDifference = computed(() => {
    let least = Number.POSITIVE_INFINITY;
    for (const row of this.runRows.value.slice(-200)) {
      if (row.receivedAt !== null && row.event.timestamp !== undefined) {
        least = Math.min(least, row.receivedAt - row.event.timestamp);
      }
    }
    return Number.isFinite(least) ? -least : 0;
  });

  constructor(readonly session: ThreadSession) {
    let waiting = false;
    this.stop.push(
      effect(() => {
        this.session.log.version.value;
        if (waiting) return;
        waiting = true;
        requestAnimationFrame(() => {
          waiting = false;
          this.frame.value++;
        });
      }),
      // A run that begins, goes on after a queue or ends has other numbers; what failed without a network is tried again.
      effect(() => {
        void this.session.run.value?.status;
        const isThere = this.newest.value !== null && !this.session.isGone.value;
        if (isThere && this.session.connection.value !== "offline") void this.refresh();
      }),
    );
  }

  close(): void {
    for (const stop of this.stop) stop();
    for (const controller of this.loading.values()) controller.abort();
  }

  async refresh(): Promise<void> {
    const asked = ++this.asked;
    await this.attempt(async () => {
      const page = await listRuns(this.session.threadId);
      if (asked !== this.asked) return;
      const older = this.runs.value.filter((run) => !page.runs.some((newer) => newer.runId === run.runId));
      batch(() => {
        if (older.length === 0) this.olderRuns.value = page.nextBefore;
        this.runs.value = [...page.runs, ...older];
      });
    });
  }

  async loadOlderRuns(): Promise<void> {
    const before = this.olderRuns.value;
    if (before === null) return;
    await this.attempt(async () => {
      const page = await listRuns(this.session.threadId, before);
      batch(() => {
        this.olderRuns.value = page.nextBefore;
        this.runs.value = [...this.runs.value, ...page.runs];
      });
    });
  }

  /** Whether events of the run's beginning are missing here. */
  isIncomplete(): boolean {
    const first = this.runRows.value[0];
    const place = first === undefined ? null : placeOf(first.cursor);
    if (place === null) return this.run.value !== null && this.run.value.status !== "waiting" && !isQueued(this.run.value);
    return place.seq !== 1 || place.before !== 0;
  }

  /** Load the shown run's events from its first one. */
  async loadEvents(): Promise<void> {
    const runId = this.runId.value;
    if (runId === null || this.loading.has(runId)) return;
    const controller = new AbortController();
    this.loading.set(runId, controller);
    this.isLoading.value = true;
    const { threadId } = this.session;
    await this.attempt(async () => {
      const found = await readRunEvents({ threadId, runId, isKnown: this.isLogged, signal: controller.signal });
      const again = new Set(found.map(({ cursor }) => cursor));
      this.loaded.value = [...this.loaded.value.filter(({ cursor }) => !again.has(cursor)), ...found];
    });
    this.loading.delete(runId);
    this.isLoading.value = this.loading.size > 0;
  }

  /** Whether the log has an event. The opening of a stream ends with a cursor of the log: its text is longer, though. */
  private readonly isLogged = (cursor: string): boolean => {
    const version = this.session.log.version.value;
    if (this.cursors?.version !== version) {
      this.cursors = { version, known: new Set(this.session.log.entries().map((entry) => entry.cursor)) };
    }
    return this.cursors.known.has(cursor);
  };

  private async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.problem.value = null;
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      // A thread that nobody has written in does not exist yet.
      if (error.status !== 404) this.problem.value = error;
    }
  }
}

function isQueued(run: RunDetails): boolean {
  return isLive(run) && run.startedAt === undefined;
}

/** A resumed run has several segments; without the opening of a stream where the log itself is there. */
function newestSegment(rows: readonly EventRow[]): readonly EventRow[] {
  let newest = -1;
  for (const row of rows) newest = Math.max(newest, placeOf(row.cursor)?.ordinal ?? -1);
  const own = rows.filter((row) => (placeOf(row.cursor)?.ordinal ?? newest) === newest);
  const whole = own.some((row) => {
    const place = placeOf(row.cursor);
    return place?.seq === 1 && place.before === 0;
  });
  return whole ? own.filter((row) => placeOf(row.cursor)?.before === 0) : own;
}
