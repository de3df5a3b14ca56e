"""T-claim, and the heartbeat that renews the leases of claimed runs. See docs/adr/0003."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.owned_run import Claim, OwnedRun
from core.agentscope.events.status_sql import status_sql
from core.agentscope.runtime.stop_signal import StopReason
from core.config import LimitSettings, Settings
from core.crash_points import crash_point
from core.direct_sql import fetch
from core.identity import Principal
from core.outage import report_failure
from core.postgres_connection import direct_dsn, open_connection
from core.store_clock import StoreClock
from core.turn_batch import TurnBatch
from core.worker_count import WORKER_CONNECTION

_FIND_QUEUED = status_sql("SELECT tenant_id, user_id FROM agent_run WHERE id = $1 AND status = {queued}")

_CLAIM = status_sql("""
UPDATE agent_run AS r SET
    status = {running}, attempt = r.attempt + 1, worker_id = $2,
    lease_until = clock_timestamp() + $3::float8 * interval '1 second',
    started_at = coalesce(r.started_at, clock_timestamp()),
    deadline_at = coalesce(r.deadline_at, clock_timestamp() + $4::float8 * interval '1 second')
FROM agent_chat_session AS s
WHERE r.id = $1 AND r.status = {queued} AND r.attempt - r.released < $5 AND s.id = r.session_id
    -- One of an older epoch may have shown what was lost: it moves first (reaper.py).
    AND r.ordinal > (SELECT agent_floor())
RETURNING r.id, r.session_id, r.ordinal, r.attempt, r.last_seq, r.run_id, r.input, r.parent_run_id, r.trace_context,
          s.thread_id, s.tenant_id, s.user_id,
          -- A process of the version before names no agent: its run has that of its thread.
          coalesce(r.agent_id, s.agent_id) AS agent_id,
          extract(epoch FROM r.deadline_at - clock_timestamp())::float8 AS seconds_left,
          extract(epoch FROM clock_timestamp() - r.created_at)::float8 AS age_seconds,
          clock_timestamp() AS database_time
""")
# A run that somebody has locked just now holds up no other: it is claimed alone.
_FREE = status_sql("""
WITH free AS MATERIALIZED (
    SELECT id FROM agent_run WHERE id = ANY($1::bigint[]) AND status = {queued} ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
)""")
_CLAIM_MANY = _FREE + _CLAIM.replace("r.id = $1", "r.id IN (SELECT id FROM free)")
_FIND_MANY = status_sql(
    "SELECT id, tenant_id, user_id FROM agent_run WHERE id = ANY($1::bigint[]) AND status = {queued}"
)

_BEAT = status_sql("""
UPDATE agent_run AS r SET lease_until = clock_timestamp() + $3::float8 * interval '1 second'
FROM unnest($1::bigint[], $2::smallint[]) AS o(run_pk, attempt)
WHERE r.id = o.run_pk AND r.attempt = o.attempt AND r.status = {running}
RETURNING r.id, r.attempt, r.cancel_reason
""")


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run this worker executes now."""

    owned: OwnedRun
    principal: Principal
    thread_id: str
    run_id: str
    input: str
    parent_run_id: str | None
    seconds_left: float
    age_seconds: float = 0.0
    """How long ago it was accepted, when it was claimed."""
    trace_context: str | None = None
    """The span that accepted it."""


class Leases:
    """Claims queued runs for one worker; those whose hints come together, in one statement."""

    def __init__(self, engine: AsyncEngine, settings: Settings, worker_id: str, clock: StoreClock) -> None:
        self._engine = engine
        self._limits: LimitSettings = settings.limits
        self._worker = settings.worker
        self._clock = clock
        self.worker_id = worker_id
        self._find = TurnBatch(self._find_one, self._find_many)
        self._claim = TurnBatch(self._claim_one, self._claim_many)

    async def find_queued(self, run_pk: int) -> Principal | None:
        """Return whose run it is; ``None`` when it is not queued any more."""
        return await self._find(run_pk)

    async def claim(self, run_pk: int) -> ClaimedRun | None:
        """Take a queued run; ``None`` when another worker has it or it has ended. Duplicate hints are free."""
        claimed = await self._claim(run_pk)
        if claimed is not None:
            crash_point("claim-committed")
        return claimed

    async def _find_one(self, run_pk: int) -> Principal | None:
        rows = await fetch(self._engine, _FIND_QUEUED, run_pk)
        return Principal(rows[0]["tenant_id"], rows[0]["user_id"]) if rows else None

    async def _find_many(self, run_pks: Sequence[int]) -> dict[int, Principal | None]:
        rows = await fetch(self._engine, _FIND_MANY, list(run_pks))
        found = {row["id"]: Principal(row["tenant_id"], row["user_id"]) for row in rows}
        return {place: found.get(run_pk) for place, run_pk in enumerate(run_pks)}

    async def _claim_one(self, run_pk: int) -> ClaimedRun | None:
        rows = await fetch(self._engine, _CLAIM, run_pk, *self._terms())
        return self._claimed(rows[0]) if rows else None

    async def _claim_many(self, run_pks: Sequence[int]) -> dict[int, ClaimedRun | None]:
        rows = await fetch(self._engine, _CLAIM_MANY, list(run_pks), *self._terms())
        claimed = {row["id"]: self._claimed(row) for row in rows}
        # Each once: the second hint of a run finds it claimed, as it would alone.
        return {run_pks.index(run_pk): run for run_pk, run in claimed.items()}

    def _terms(self) -> tuple[object, ...]:
        worker = self._worker
        return self.worker_id, worker.lease_seconds, self._limits.run_seconds, worker.max_attempts

    def _claimed(self, row: asyncpg.Record) -> ClaimedRun:
        self._clock.set(row["database_time"])
        return ClaimedRun(
            owned=OwnedRun(
                row["id"],
                row["session_id"],
                row["ordinal"],
                row["attempt"],
                row["last_seq"],
                row["agent_id"],
            ),
            principal=Principal(row["tenant_id"], row["user_id"]),
            thread_id=row["thread_id"],
            run_id=row["run_id"],
            input=row["input"],
            parent_run_id=row["parent_run_id"],
            seconds_left=row["seconds_left"],
            age_seconds=row["age_seconds"],
            trace_context=row["trace_context"],
        )


OnSignal = Callable[[StopReason], None]


class Heartbeat:
    """Renews the leases of all runs of a process, from a thread of its own.

    A blocked event loop must not look like a dead worker, so neither the timer
    nor the connection belongs to the loop that executes the runs.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runs: dict[Claim, OnSignal] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # A sixth of a lease: a silent server costs one beat that is not answered and one connection, and the next beat
        # still comes before the lease is over.
        self._answer_seconds = min(5.0, settings.worker.lease_seconds / 6)

    def start(self) -> None:
        """Begin to beat; signals are delivered to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; leases run out by themselves."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    @property
    def alive(self) -> bool:
        """Whether leases are renewed, or the thread has been stopped in order."""
        return self._stopped.is_set() or (self._thread is not None and self._thread.is_alive())

    def watch(self, run: OwnedRun, on_signal: OnSignal) -> Callable[[], None]:
        """Renew a run's lease until the returned function is called."""
        key = run.claim
        with self._lock:
            self._runs[key] = on_signal

        def unwatch() -> None:
            with self._lock:
                self._runs.pop(key, None)

        return unwatch

    def _run(self) -> None:
        asyncio.run(self._beat_until_stopped())

    async def _beat_until_stopped(self) -> None:
        # At once the first time: the connection also shows that this worker lives.
        interval = 0.0
        connection: asyncpg.Connection | None = None
        while not await asyncio.to_thread(self._stopped.wait, interval):
            try:
                if connection is None or connection.is_closed():
                    connection = await self._connect()
                await self._beat(connection)
                interval = self._settings.worker.lease_seconds / 3
            except Exception as exc:  # noqa: BLE001  top of a background loop: without a beat every run would be lost
                report_failure("heartbeat_failed", exc)
                if connection is not None:
                    connection.terminate()
                connection = None
                interval = 1.0
        if connection is not None:
            connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        return await open_connection(
            # A session of its own: workers are counted by it, and a crowd in the pooler holds up no lease.
            direct_dsn(self._settings.database),
            application_name=WORKER_CONNECTION,
            connect_seconds=self._answer_seconds,
            statement_seconds=self._answer_seconds,
        )

    async def _beat(self, connection: asyncpg.Connection) -> None:
        with self._lock:
            runs = dict(sorted(self._runs.items(), key=lambda item: item[0]))
        if not runs:
            return
        rows = await connection.fetch(
            _BEAT,
            [run_pk for run_pk, _ in runs],
            [attempt for _, attempt in runs],
            self._settings.worker.lease_seconds,
        )
        ours = {(row["id"], row["attempt"]): row["cancel_reason"] for row in rows}
        for key, on_signal in runs.items():
            if key not in ours:
                self._tell(key, on_signal, "lost")
            elif ours[key] is not None:
                self._tell(key, on_signal, "user")

    def _tell(self, key: Claim, on_signal: OnSignal, reason: StopReason) -> None:
        def deliver() -> None:
            with self._lock:
                watched = key in self._runs
            # A run that has ended meanwhile is not lost.
            if watched:
                on_signal(reason)

        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(deliver)
