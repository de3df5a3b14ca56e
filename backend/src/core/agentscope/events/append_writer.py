"""Group commit: one writer per process appends the events of all runs of the process, one statement per flush.

Rules:

* Events are committed first and published after the commit. The commit releases the tasks that wait for an event.
* A flush starts when the last flush is done and ``flush_interval_seconds`` have passed since the start of the last
  flush. Urgent events (a first delta, a tool call, an end) do not wait for the interval.
* Waiting deltas are merged if they are adjacent and belong to the same message.
* Nothing is written for a run whose lease was lost: the appender of the run is fenced.
* If the outcome of a flush is unknown (the connection broke), ``last_seq`` is read. A flush is never repeated blindly.
* A flush is cut by bytes, so one large run does not make the statement of all runs slow. What does not fit waits for
  the next flush, which starts at once.
* A statement that fails is repeated in parts, the runs with few bytes first, until only the runs at fault are left.
  Data that Postgres refuses, and events too large for the time limit of a statement, end their own run only.

See docs/adr/0001: Postgres is the source of truth; docs/adr/0017: bytes have limits everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from core.agentscope.events.owned_run import Claim, OwnedRun, Publisher, StreamBatch
from core.agentscope.events.pending_events import EncodedEvent, PendingEvents
from core.agentscope.events.run_spans import AppendTrace
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.config import WorkerSettings
from core.errors import LeaseLost, OutputTooLarge, StoreUnavailable
from core.metrics.catalogue import APPEND_SECONDS, APPENDED_EVENTS, FENCED, FIRST_EVENT_SECONDS
from core.store_failure import is_time_limit
from core.tracing.tracer import tracer

log = structlog.get_logger(__name__)

HEAVY_BYTES = 256 << 10
"""If a batch of this size runs out of time alone, and Postgres answers meanwhile, its size is the reason."""
HEAVY_TRIES = 2
_TOO_SLOW = "The database could not store the run's events in time: they are too large."


@dataclass(frozen=True, slots=True)
class AppendBatch:
    """Events of one run that go into one flush, already encoded."""

    run_pk: int
    session_id: int
    ordinal: int
    attempt: int
    base: int
    """The expected ``last_seq`` of the run. The append succeeds only at this value, so it can never succeed twice."""
    types: list[str]
    payloads: list[str]
    size: int = 0
    """Bytes of all payloads."""

    @property
    def claim(self) -> Claim:
        return self.run_pk, self.attempt


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The result of one batch in the database; ``base`` is the sequence before its first event."""

    base: int
    cancel_requested: bool


class AppendStore(Protocol):
    """The durable side of the writer."""

    async def append(self, batches: Sequence[AppendBatch]) -> dict[Claim, AppendResult]:
        """Append all batches in one transaction.

        A claim that is missing from the result was not appended to: another attempt owns the run, or its ``last_seq``
        is not ``base``. Two attempts of one run may be in the same call.

        Raises:
            StoreUnavailable: The outcome is unknown, or nothing was written.
        """
        ...

    async def owned_seqs(self, owned: Sequence[Claim]) -> dict[Claim, int]:
        """Return ``last_seq`` of the claims that still hold.

        Raises:
            StoreUnavailable: Postgres cannot be asked.
        """
        ...


class RunAppender:
    """The queue of one run's events on their way to the log."""

    def __init__(self, run: OwnedRun, writer: GroupCommitWriter, on_cancel: Callable[[], None]) -> None:
        self.run = run
        self.last_seq = run.last_seq
        """Sequence of the newest committed event."""
        self.failure: Exception | None = None
        self.on_cancel = on_cancel
        self.accepted_at: float | None = None
        """When the run was accepted, on the clock of the event loop; None if nobody wants to know how long its first
        event took."""
        self.trace = AppendTrace() if tracer() is not None else None
        """Its commits, where spans are recorded."""
        self._writer = writer
        self._pending = PendingEvents(writer.settings.max_event_bytes)
        self._total_bytes = 0
        """Bytes of everything the run has said in this process."""
        self._in_flight = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        """Futures with the sequence that has to be committed first."""

    def append(self, events: Sequence[AgUiWireEvent], *, urgent: bool = False) -> None:
        """Queue events for the next flush.

        Raises:
            LeaseLost: Another worker owns the run now.
            StoreUnavailable: Postgres was unavailable for longer than a run may wait.
            OutputTooLarge: An event, or the output of the run, is too large. The events before it are queued.
            OutputNotStorable: An event has no JSON form. The events before it are queued.
        """
        self._check()
        for event in events:
            self._total_bytes += self._pending.add(event)
            if self._total_bytes > self._writer.settings.max_run_bytes:
                raise OutputTooLarge(
                    f"The run produced more than {self._writer.settings.max_run_bytes} bytes of events."
                )
        if events:
            self._writer.wake(self, urgent=urgent)

    async def durable(self) -> None:
        """Return when everything queued so far is committed.

        Raises:
            LeaseLost: Another worker owns the run now.
            StoreUnavailable: Postgres was unavailable for longer than a run may wait.
        """
        self._check()
        if self._pending:
            self._writer.wake(self, urgent=True)
        await self._reached(self.last_seq + self._in_flight + len(self._pending))

    async def room(self) -> None:
        """Wait while more than a run's share of undurable events is queued."""
        if self._pending.size > self._writer.settings.max_pending_bytes:
            await self.durable()

    async def take(self) -> list[AgUiWireEvent]:
        """Wait for the running flush, then return the uncommitted events: the run's end writes them.

        Raises:
            LeaseLost: Another worker owns the run now.
            StoreUnavailable: Postgres was unavailable for longer than a run may wait.
        """
        self._writer.forget(self)
        await self._reached(self.last_seq + self._in_flight)
        self._check()
        return self._pending.drain()

    def fail(self, failure: Exception) -> None:
        """Stop writing events of the run: drop the queued events, and raise the error in every waiter."""
        self.failure = failure
        self._in_flight = 0
        self._pending.drain()
        waiters, self._waiters = self._waiters, []
        for _, waiter in waiters:
            if not waiter.done():
                waiter.set_exception(failure)
        self.on_cancel()

    def start_flush(self, max_bytes: int, *, at_least_one: bool) -> list[EncodedEvent]:
        """Take out what goes into a flush that has room for ``max_bytes``."""
        events = self._pending.take(max_bytes, at_least_one=at_least_one)
        self._in_flight = len(events)
        return events

    @property
    def has_pending(self) -> bool:
        return len(self._pending) > 0

    def end_flush(self, last_seq: int) -> None:
        self.last_seq = last_seq
        self._in_flight = 0
        reached = [waiter for target, waiter in self._waiters if target <= last_seq]
        self._waiters = [entry for entry in self._waiters if entry[0] > last_seq]
        for waiter in reached:
            if not waiter.done():
                waiter.set_result(None)

    async def _reached(self, seq: int) -> None:
        if self.last_seq >= seq:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((seq, waiter))
        await waiter

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure


class GroupCommitWriter:
    """The one writer of a worker process."""

    def __init__(self, store: AppendStore, publisher: Publisher, settings: WorkerSettings) -> None:
        self.settings = settings
        self._store = store
        self._publisher = publisher
        self._ready: dict[Claim, RunAppender] = {}
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._closing = False
        self._last_flush_at = 0.0

    def open(self, run: OwnedRun, on_cancel: Callable[[], None]) -> RunAppender:
        """Return the appender of a claimed run; ``on_cancel`` is called when a cancel or a fence is seen."""
        return RunAppender(run, self, on_cancel)

    def wake(self, appender: RunAppender, *, urgent: bool) -> None:
        self._ready[appender.run.claim] = appender
        self._wake.set()
        if urgent:
            self._urgent.set()

    def forget(self, appender: RunAppender) -> None:
        self._ready.pop(appender.run.claim, None)

    async def run(self) -> None:
        """Flush until closed; then flush what is left."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            wait = self._last_flush_at + self.settings.flush_interval_seconds - loop.time()
            if wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._urgent.wait()
            self._wake.clear()
            self._urgent.clear()
            self._last_flush_at = loop.time()
            await self._flush()
            if self._closing and not self._ready:
                return

    async def close(self) -> None:
        """Make ``run`` return after a last flush."""
        self._closing = True
        self._urgent.set()
        self._wake.set()

    async def _flush(self) -> None:
        appenders = self._ready
        self._ready = {}
        batches: dict[Claim, AppendBatch] = {}
        room = self.settings.max_flush_bytes
        for claim, appender in appenders.items():
            if events := appender.start_flush(room, at_least_one=not batches):
                batches[claim] = batch = _batch(appender, events)
                room -= batch.size
            if appender.has_pending:
                self.wake(appender, urgent=True)
        await self._commit(batches, {claim: appenders[claim] for claim in batches})

    async def _commit(
        self,
        batches: dict[Claim, AppendBatch],
        appenders: dict[Claim, RunAppender],
        *,
        unknown: bool = False,
    ) -> None:
        # Not `through_outage`: a try may have been committed for some runs and not for others, and each is settled
        # on its own. The store judges: StoreUnavailable says that Postgres is away.
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self.settings.outage_seconds
        pause = 0.05
        alone = 0
        while batches:
            # After a failure in parts: the statement may have been too large for its time limit.
            part = _lighter_half(batches) if unknown else dict(batches)
            sent_at = loop.time()
            try:
                results = await self._timed_append(list(part.values()), loop)
            except StoreUnavailable as exc:
                # A refusal at once (a standby, a full disk) is an outage, whatever the size.
                alone += len(batches) == 1 and (isinstance(exc.__cause__, TimeoutError) or is_time_limit(exc))
                log.warning("append_outcome_unknown", runs=len(part), bytes=_size(part))
                unknown = True
            except Exception as exc:  # noqa: BLE001  one bad batch must not stop every run of the process
                for claim in part:
                    del batches[claim]
                await self._isolate(part, appenders, exc, unknown=unknown)
                continue
            else:
                # A try of unknown outcome may have been committed after the check: then its run is not in the result.
                done = {claim: part[claim] for claim in (results if unknown else list(part))}
                for claim in done:
                    del batches[claim]
                for claim in done:
                    if (trace := appenders[claim].trace) is not None:
                        trace.add(len(done[claim].payloads), sent_at, loop.time())
                self._finish(done, appenders, results)
                if len(done) == len(part) or not unknown:
                    continue
            answered = await self._settle(batches, appenders)
            # Even if Postgres can be read: a standby answers reads, but never accepts an event.
            if loop.time() > give_up_at:
                self._fail(batches, appenders, StoreUnavailable())
                return
            if answered and alone >= HEAVY_TRIES and _size(batches) >= HEAVY_BYTES:
                log.error("append_too_slow", runs=list(batches), bytes=_size(batches))
                self._fail(batches, appenders, OutputTooLarge(_TOO_SLOW))
                return
            if batches:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    async def _timed_append(
        self, batches: list[AppendBatch], loop: asyncio.AbstractEventLoop
    ) -> dict[Claim, AppendResult]:
        sent_at = loop.time()
        try:
            return await self._store.append(batches)
        finally:
            APPEND_SECONDS.observe(loop.time() - sent_at)

    def _fail(
        self, batches: dict[Claim, AppendBatch], appenders: dict[Claim, RunAppender], failure: Exception
    ) -> None:
        for claim in batches:
            appenders[claim].fail(failure)

    def _finish(
        self,
        batches: dict[Claim, AppendBatch],
        appenders: dict[Claim, RunAppender],
        results: dict[Claim, AppendResult],
    ) -> None:
        shown: list[StreamBatch] = []
        for claim, batch in batches.items():
            appender = appenders[claim]
            result = results.get(claim)
            if result is None:
                FENCED.add("append")
                appender.fail(LeaseLost())
                continue
            _count(appender, batch, result)
            shown.append(StreamBatch(batch.session_id, batch.ordinal, result.base + 1, batch.payloads))
            appender.end_flush(result.base + len(batch.payloads))
            if result.cancel_requested:
                appender.on_cancel()
        self._publisher.publish(shown)

    async def _settle(self, batches: dict[Claim, AppendBatch], appenders: dict[Claim, RunAppender]) -> bool:
        """Find out which batches were committed; leave only those that were not. False when Postgres did not answer."""
        try:
            seqs = await self._store.owned_seqs(list(batches))
        except StoreUnavailable:
            return False
        except Exception:
            # The append that follows counts only at its base and decides; a fault of ours in it ends its run.
            log.exception("append_not_settled")
            return False
        done: dict[Claim, AppendBatch] = {}
        results: dict[Claim, AppendResult] = {}
        for claim, batch in list(batches.items()):
            before = appenders[claim].last_seq
            seq = seqs.get(claim)
            if seq == before:
                continue
            done[claim] = batches.pop(claim)
            if seq == before + len(batch.payloads):
                results[claim] = AppendResult(before, cancel_requested=False)
        self._finish(done, appenders, results)
        return True

    async def _isolate(
        self,
        batches: dict[Claim, AppendBatch],
        appenders: dict[Claim, RunAppender],
        cause: Exception,
        *,
        unknown: bool,
    ) -> None:
        """Append in halves after a flush failed as a whole, so only the run at fault ends."""
        log.error("append_failed", runs=len(batches), bytes=_size(batches), exc_info=cause)
        if len(batches) == 1:
            self._fail(batches, appenders, cause)
            return
        lighter = _lighter_half(batches)
        heavier = {claim: batch for claim, batch in batches.items() if claim not in lighter}
        for part in (lighter, heavier):
            await self._commit(part, appenders, unknown=unknown)


def _count(appender: RunAppender, batch: AppendBatch, result: AppendResult) -> None:
    APPENDED_EVENTS.add(amount=len(batch.payloads))
    if result.base == 0 and appender.accepted_at is not None:
        FIRST_EVENT_SECONDS.observe(asyncio.get_running_loop().time() - appender.accepted_at)


def _batch(appender: RunAppender, events: Sequence[EncodedEvent]) -> AppendBatch:
    run = appender.run
    return AppendBatch(
        run.run_pk,
        run.session_id,
        run.ordinal,
        run.attempt,
        appender.last_seq,
        [event.type for event in events],
        [event.payload for event in events],
        sum(event.size for event in events),
    )


def _size(batches: dict[Claim, AppendBatch]) -> int:
    return sum(batch.size for batch in batches.values())


def _lighter_half(batches: dict[Claim, AppendBatch]) -> dict[Claim, AppendBatch]:
    """Return half of the batches, at least one: those with the fewest bytes."""
    by_size = sorted(batches, key=lambda claim: batches[claim].size)
    return {claim: batches[claim] for claim in by_size[: max(len(by_size) // 2, 1)]}
