"""The reaper: repairs the effects of lost processes, lost hints and passed deadlines. Runs in every worker.

Of the repairs and of retention, one worker does them all in a period (``chores.py``). One also looks for queued runs
without a worker; all do when it finds more than it can hint, or without Redis: then each executes what it finds.

The reaper pauses for one lease after a failed contact with Postgres: leases cannot be renewed during an outage, so
right after an outage every live run looks dead.

Each repair is a separate transaction that locks the thread, then the run. A row that another process has locked is
skipped.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from core.agentscope.events.ending import Ended, end_and_promote, end_from_log, promote, unstarted_end
from core.agentscope.events.epoch import carry_over
from core.agentscope.events.ledger.budget_store import release_expired
from core.agentscope.events.ledger.ledger import list_model_calls
from core.agentscope.events.log_parts import tend_parts
from core.agentscope.events.owned_run import OwnedRun, Publisher
from core.agentscope.events.repair_times import DEADLINE_GRACE_SECONDS, HINT_AGAIN_SECONDS
from core.agentscope.events.requeue import is_pristine, requeue
from core.agentscope.events.retention import PRUNE_ROWS, EventRetention, drop_budgets, forget_runs
from core.agentscope.events.run_spans import trace_lost_run
from core.agentscope.events.run_status import QUEUED, RUNNING
from core.agentscope.events.run_summary import AgentName, log_ended_runs, nameless
from core.agentscope.events.status_sql import status_text
from core.agentscope.events.thread_row import try_lock_thread
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.schemas.internal_events import RunFailed
from core.config import Settings
from core.connections.oauth.login_store import drop_logins
from core.crash_points import crash_point
from core.errors import LeaseLost, QueueTimeout, RunTimeout, WorkerLost
from core.identity import Principal
from core.metrics.catalogue import LEASES_EXPIRED, LEDGER_LOST
from core.outage import report_failure
from core.store_failure import is_store_failure, is_time_limit
from core.stored_bytes import add_up
from models import AgentChatSession, AgentRun

log = structlog.get_logger(__name__)

BATCH = 50
PRUNE_SECONDS = 600.0
"""Pause between two searches for what is past its retention, after a search that found nothing more."""
JITTER = 0.1
"""Workers that started together drift apart."""
PICKUP_SECONDS = 1.0
"""How often queued runs without a worker are looked for: one indexed query."""
SHORTEST_PAUSE_SECONDS = 0.05
PICK_UP, REAP, PRUNE = "pick-up", "reap", "prune"
"""The chores."""

_DUE = status_text("""
UPDATE agent_run SET next_hint_at = clock_timestamp() + :again * interval '1 second'
WHERE id IN (
    SELECT id FROM agent_run WHERE status = {queued} AND next_hint_at < clock_timestamp() AND id IN (
        -- Each user's oldest run first: many runs of one user hide nobody's.
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY tenant_id, user_id ORDER BY id) AS place
            FROM agent_run WHERE status = {queued} AND next_hint_at < clock_timestamp()
        ) AS due ORDER BY place, id LIMIT :batch
    ) FOR UPDATE SKIP LOCKED
) RETURNING id, task_id, tenant_id, user_id
""")

_EXPIRED = status_text("""
SELECT id, session_id FROM agent_run WHERE status = {running} AND (
    lease_until < clock_timestamp()
    OR deadline_at < clock_timestamp() - :grace * interval '1 second')
ORDER BY id LIMIT :batch
""")

_OF_WORKER = status_text("""
SELECT id, session_id FROM agent_run WHERE status = {running} AND worker_id = :worker_id ORDER BY id LIMIT :batch
""")

_QUEUED_TOO_LONG = status_text("""
SELECT id, session_id FROM agent_run WHERE status = {queued} AND queue_deadline_at < clock_timestamp()
ORDER BY id LIMIT :batch
""")

_OF_OLDER_EPOCH = status_text("""
SELECT id, session_id FROM agent_run WHERE status = {queued} AND ordinal <= (SELECT agent_floor()) ORDER BY id LIMIT :batch
""")

_STRANDED = status_text("""
SELECT DISTINCT w.session_id FROM agent_run AS w WHERE w.status = {waiting}
AND NOT EXISTS (SELECT 1 FROM agent_run AS l
                WHERE l.session_id = w.session_id AND l.status IN {live})
AND NOT EXISTS (SELECT 1 FROM agent_interrupt AS i WHERE i.session_id = w.session_id AND i.status = {open_interrupt})
LIMIT :batch
""")

# The time of the statement, wherever an index finds what is past a time: clock_timestamp() has another value for every
# row, so an index over times would be read from its beginning to its end.
_EXPIRE_INTERRUPTS = status_text("""
UPDATE agent_interrupt SET status = {expired_interrupt}, resolved_at = clock_timestamp()
WHERE status = {open_interrupt} AND expires_at < statement_timestamp()
""")


@dataclass(slots=True)
class _LostRun:
    """What was found of a run whose worker is lost."""

    outcome: str | None = None
    """What becomes of it; None if its worker lives and only its time is over."""
    trace_context: str | None = None
    lines: Sequence[Mapping[str, Any]] = ()
    """Its model calls, as the ledger has them."""


_Repair = Callable[[AsyncConnection, AgentRun, str, datetime], Awaitable[Ended | None]]


class Reaper:
    """One worker's share of the repairs.

    Args:
        start_run: Executes a queued run in this process when there is room;
            False otherwise. Without Redis this is how runs start.
        agent: Names agents for the log.
        turns: Shared with the other chores of the process; turns of its own, of which it tells nobody, if absent.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        hints: HintSender,
        publisher: Publisher,
        settings: Settings,
        *,
        start_run: Callable[[int, Principal], bool],
        agent: AgentName = nameless,
        turns: Turns | None = None,
    ) -> None:
        self._engine = engine
        self._turns = turns or Turns(engine)
        self._hints = hints
        self._publisher = publisher
        self._settings = settings
        self._start_run = start_run
        self._agent = agent
        self._rest_until = 0.0
        self._more_to_prune = False
        self._events = EventRetention(engine, days=settings.worker.event_retention_days)

    async def run(self) -> None:
        """Repair until cancelled."""
        # A new process has seen no outage. A third of a lease is enough for the heartbeats of all other workers, which
        # come each third of a lease and, after a failure, each second.
        self._rest(self._settings.worker.lease_seconds / 3)
        pause = _pickup_pause()
        while True:
            await asyncio.sleep(pause)
            try:
                await self.tend()
                pause = self._pause()
            except Exception as exc:  # noqa: BLE001  top of a background loop
                report_failure("reaper_failed", exc)
                self._turns.step_back()
                pause = _pickup_pause()
                if is_store_failure(exc):
                    self._rest(self._settings.worker.lease_seconds)

    async def tend(self) -> None:
        """Do the chores whose turn this worker gets."""
        if self._turns.wait_seconds(PICK_UP, PICKUP_SECONDS) <= 0:
            await self.pick_up()
        if asyncio.get_running_loop().time() < self._rest_until:
            return
        if await self._turns.take(REAP, self._settings.worker.reap_seconds):
            await self.reap()
        if self._more_to_prune or await self._turns.take(PRUNE, PRUNE_SECONDS):
            try:
                await self.prune()
            except Exception as exc:  # noqa: BLE001  old events can wait; a rest of all repairs would cost live runs
                report_failure("prune_failed", exc)
                self._turns.step_back()

    def _pause(self) -> float:
        """Return the seconds until a chore may be due: no question to Postgres is needed to know them."""
        rest = self._rest_until - asyncio.get_running_loop().time()
        reap = max(self._turns.wait_seconds(REAP, self._settings.worker.reap_seconds), rest)
        pick_up = self._turns.wait_seconds(PICK_UP, PICKUP_SECONDS)
        return min(max(min(pick_up, reap), SHORTEST_PAUSE_SECONDS), _pickup_pause())

    async def pick_up(self) -> int:
        """Start or hint again the queued runs whose hint is overdue; returns how many."""
        async with self._engine.begin() as connection:
            rows = (await connection.execute(_DUE, {"again": HINT_AGAIN_SECONDS, "batch": BATCH})).all()
        hinting = True
        for row in rows:
            if not self._start_run(row.id, Principal(row.tenant_id, row.user_id)) and hinting:
                # The next try comes after the repairs: the other hints would fail in the same way.
                hinting = await self._hints.send(row.id, row.task_id)
        # What cannot be hinted, or is more than a batch, takes every worker that has room.
        self._turns.did(PICK_UP, PICKUP_SECONDS, alone=hinting and len(rows) < BATCH)
        return len(rows)

    async def reap(self) -> int:
        """End or requeue what is past its lease or a deadline; returns how many runs were touched."""
        async with self._engine.connect() as connection:
            lost = (
                await connection.execute(_EXPIRED, {"grace": DEADLINE_GRACE_SECONDS, "batch": BATCH})
            ).all()
            stale = (await connection.execute(_QUEUED_TOO_LONG, {"batch": BATCH})).all()
            # Begun here, an epoch begins for good.
            older = (await connection.execute(_OF_OLDER_EPOCH, {"batch": BATCH})).all()
            await connection.commit()
        touched = 0
        for row in older:
            touched += await self._repair(row.id, row.session_id, _carry_over)
        for row in lost:
            touched += await self._repair_lost(row.id, row.session_id)
        for row in stale:
            touched += await self._repair(row.id, row.session_id, self._end_stale)
        async with self._engine.begin() as connection:
            await connection.execute(_EXPIRE_INTERRUPTS)
            stranded = (await connection.execute(_STRANDED, {"batch": BATCH})).scalars().all()
        for session_id in stranded:
            touched += await self._promote_stranded(session_id)
        await release_expired(self._engine)
        await add_up(self._engine)
        return touched

    async def repair_dead(self, worker_id: str) -> int:
        """End or requeue the runs of a worker whose process has ended, without waiting for their leases.

        Only for a caller who knows from the operating system that the process is gone: its parent. A row that a last
        statement of that process still locks is left for the next call.

        Returns:
            How many runs this worker still had. The caller repeats the call until none is left.
        """
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_OF_WORKER, {"worker_id": worker_id, "batch": BATCH})).all()
        for row in rows:
            await self._repair_lost(row.id, row.session_id, dead_worker=worker_id)
        return len(rows)

    async def prune(self) -> int:
        """Delete a batch of what is past its retention; history is kept. Returns the deleted events."""
        worker = self._settings.worker
        goes_on, self._more_to_prune = self._more_to_prune, False
        if not goes_on:
            await self._tend_parts()
        deleted, is_done = await self._events.step(batch=BATCH)
        forgotten = 0
        if worker.run_retention_days:
            forgotten = await forget_runs(
                self._engine,
                days=worker.run_retention_days,
                rows=BATCH,
                states=worker.checkpoint_retention_days is None,
            )
        dropped = await drop_budgets(self._engine, days=worker.budget_retention_days, rows=PRUNE_ROWS)
        logins = await drop_logins(self._engine, rows=PRUNE_ROWS)
        if not is_done or forgotten == BATCH or PRUNE_ROWS in (dropped, logins):
            # There may be more; repairs go first.
            self._more_to_prune = True
        return deleted

    async def _tend_parts(self) -> None:
        """Open and drop parts of the log, once in a turn: a look can take a minute. Retention goes on without it."""
        try:
            await tend_parts(self._engine, days=self._settings.worker.event_retention_days)
        except Exception as exc:  # noqa: BLE001  the next turn tries again
            report_failure("log_parts_failed", exc)
            self._turns.step_back()

    async def _promote_stranded(self, session_id: int) -> int:
        """Queue a run that waits behind nothing: what it waited for ended without a run's end."""
        ended = Ended()
        async with self._engine.begin() as connection:
            if not await try_lock_thread(connection, session_id):
                return 0
            await promote(connection, session_id, ended)
        await self._tell(ended)
        return 1

    async def _tell(self, ended: Ended) -> None:
        self._publisher.publish(ended.shown)
        log_ended_runs(ended.runs, agent=self._agent)
        if ended.promoted is not None:
            await self._hints.send(ended.promoted.run_pk, ended.promoted.task_id)

    async def _repair_lost(self, run_pk: int, session_id: int, *, dead_worker: str | None = None) -> int:
        """End or requeue a run whose worker is lost: its lease is over, or ``dead_worker`` is known to have had it."""
        found = _LostRun()
        end_lost = partial(self._end_lost, found, dead_worker=dead_worker)
        # Its thread must not stay stuck: the second try keeps of its output what can be read and stored.
        touched = await self._repair(run_pk, session_id, end_lost, rescue=partial(end_lost, rescue=True))
        if touched and found.outcome is not None:
            LEASES_EXPIRED.add(found.outcome)
            LEDGER_LOST.add(amount=sum(line["outcome"] == "lost" for line in found.lines))
            trace_lost_run(found.trace_context, found.lines)
        return touched

    async def _repair(
        self, run_pk: int, session_id: int, repair: _Repair, *, rescue: _Repair | None = None
    ) -> int:
        try:
            async with AsyncSession(self._engine) as session, session.begin():
                connection = await session.connection()
                if not await try_lock_thread(connection, session_id):
                    return 0
                run = await session.scalar(
                    select(AgentRun)
                    .where(AgentRun.id == run_pk)
                    .with_for_update(skip_locked=True, key_share=True)
                )
                thread = await session.get(AgentChatSession, session_id)
                if run is None or thread is None:
                    return 0
                now = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
                ended = await repair(connection, run, thread.thread_id, now)
                crash_point("reaper-before-commit")
        except LeaseLost:
            return 0
        except Exception as exc:
            if is_store_failure(exc) and not is_time_limit(exc):
                raise
            # The waiting runs behind it must still be repaired.
            log.exception("run_not_repaired", run=run_pk)
            return 0 if rescue is None else await self._repair(run_pk, session_id, rescue)
        crash_point("reaper-committed")
        if ended is not None:
            await self._tell(ended)
        return 1

    async def _end_lost(
        self,
        found: _LostRun,
        connection: AsyncConnection,
        run: AgentRun,
        thread_id: str,
        now: datetime,
        *,
        dead_worker: str | None = None,
        rescue: bool = False,
    ) -> Ended | None:
        if run.status != RUNNING or run.lease_until is None:
            raise LeaseLost
        overtime = (
            run.deadline_at is not None
            and run.deadline_at.timestamp() + DEADLINE_GRACE_SECONDS < now.timestamp()
        )
        lost = run.lease_until < now if dead_worker is None else run.worker_id == dead_worker
        if not lost and not overtime:
            raise LeaseLost
        if lost:
            found.lines = await list_model_calls(connection, run.id)
            found.trace_context = run.trace_context
            found.outcome = "ended"
        tries_left = run.attempt - run.released < self._settings.worker.max_attempts
        if is_pristine(run) and not overtime and tries_left:
            await requeue(connection, run)
            found.outcome = "requeued"
            log.warning("run_requeued", run_id=run.run_id, attempt=run.attempt)
            return None
        code, message = (
            (RunTimeout.code, "The run exceeded its time limit.")
            if overtime
            else (
                WorkerLost.code,
                "The server executing this run was lost. The output already streamed is kept. Start a new run.",
            )
        )
        log.warning("run_reaped", run_id=run.run_id, code=code, worker=run.worker_id)
        event = RunFailed(code=code, message=message)
        end = await end_from_log(connection, _owned(run), thread_id, run.run_id, event, rescue=rescue)
        return await end_and_promote(connection, _owned(run), end)

    async def _end_stale(
        self, connection: AsyncConnection, run: AgentRun, thread_id: str, now: datetime
    ) -> Ended:
        if run.status != QUEUED or run.queue_deadline_at >= now:
            raise LeaseLost
        log.warning("run_reaped", run_id=run.run_id, code=QueueTimeout.code)
        event = RunFailed(code=QueueTimeout.code, message="No worker was free in time. Start a new run.")
        end = unstarted_end(thread_id, run.run_id, event, started=run.last_seq > 0)
        return await end_and_promote(connection, _owned(run), end)

    def _rest(self, seconds: float) -> None:
        self._rest_until = asyncio.get_running_loop().time() + seconds


def _pickup_pause() -> float:
    return PICKUP_SECONDS * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  not a secret


async def _carry_over(connection: AsyncConnection, run: AgentRun, _thread_id: str, _now: datetime) -> None:
    if run.status != QUEUED:
        raise LeaseLost
    log.warning("run_carried_over", run_id=run.run_id, ordinal=run.ordinal)
    await carry_over(connection, _owned(run))


def _owned(run: AgentRun) -> OwnedRun:
    return OwnedRun(run.id, run.session_id, run.ordinal or 0, run.attempt, run.last_seq)
