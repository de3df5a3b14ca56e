"""Reads of the log: threads, runs, pages of events. Every look-up of a thread is scoped to its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.epoch import FLOOR_SQL
from core.agentscope.events.run_status import ENDED
from core.agentscope.schemas.cursor import Cursor
from core.direct_sql import fetch
from core.gate import Gate
from core.identity import Principal
from core.replica.reasons import NotFromReplica
from core.replica.replica import Replica

_THREAD = """
SELECT s.id, s.thread_id, s.agent_id, s.last_ordinal, s.pruned_ordinal, coalesce(r.last_seq, 0) AS last_seq
FROM agent_chat_session AS s
LEFT JOIN agent_run AS r ON r.session_id = s.id AND r.ordinal = s.last_ordinal
WHERE s.tenant_id = $1 AND s.user_id = $2 AND s.thread_id = $3
"""

_SEGMENTS = """
SELECT ordinal, last_seq, status, protocol_version
FROM agent_run WHERE session_id = $1 AND run_id = $2 ORDER BY segment
"""

_RUN_AT = """
SELECT ordinal, last_seq, status, protocol_version
FROM agent_run WHERE session_id = $1 AND ordinal = $2
"""

_INPUT_AT = """
SELECT run_id, input, protocol_version, created_at
FROM agent_run WHERE session_id = $1 AND ordinal = $2
"""

_PAGE = """
SELECT ordinal, seq, payload FROM (
    SELECT ordinal, seq, payload,
           sum(octet_length(payload)) OVER (ORDER BY ordinal, seq) - octet_length(payload) AS bytes_before
    FROM (
        SELECT ordinal, seq, payload FROM agent_run_event
        WHERE session_id = $1 AND (ordinal, seq) > ($2, $3)
            -- The parts of these runs, and no older ones.
            AND log_part >= coalesce((SELECT min(log_part) FROM agent_run WHERE session_id = $1 AND ordinal >= $2), 0)
        ORDER BY ordinal, seq LIMIT $4
    ) AS following
) AS page WHERE bytes_before < $5 ORDER BY ordinal, seq
"""

_MOVED = """
SELECT known.id, s.id IS NULL AS gone, r.ordinal, r.last_seq
FROM unnest($1::bigint[], $2::int[], $3::bigint[]) AS known (id, ordinal, seq)
LEFT JOIN agent_chat_session AS s ON s.id = known.id
LEFT JOIN LATERAL (
    SELECT shown.ordinal, shown.last_seq FROM agent_run AS shown
    WHERE shown.session_id = s.id AND shown.ordinal <= s.last_ordinal AND shown.last_seq > 0
    ORDER BY shown.ordinal DESC LIMIT 1
) AS r ON true
WHERE s.id IS NULL OR (r.ordinal, r.last_seq) > (known.ordinal, known.seq)
"""


@dataclass(frozen=True, slots=True)
class ThreadHead:
    """A thread and the place of its newest event."""

    session_id: int
    thread_id: str
    head: Cursor
    pruned_ordinal: int


@dataclass(frozen=True, slots=True)
class RunSegment:
    """One row of a run: the run itself, or one more for each resume under its name."""

    ordinal: int | None
    last_seq: int
    status: str
    protocol_version: str | None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class EventStore:
    """The log as readers see it. Holds no connection between two calls.

    Args:
        engine: Of the process.
        gate: What every read of a stream passes.
        default_agent: The agent of threads without an id of one.

        replica: ``None``: the deployment has none.

    Every read except :meth:`moved` raises ``Overloaded`` if it gets no place at the gate.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        gate: Gate,
        default_agent: str | None = None,
        *,
        replica: Replica | None = None,
    ) -> None:
        self._engine = engine
        self._replica = replica
        self._default_agent = default_agent
        self._gate = gate

    async def find_thread(self, principal: Principal, thread_id: str) -> ThreadHead | None:
        """Return the caller's thread; a foreign one is ``None`` like an absent one."""
        rows = await self._fetch(_THREAD, principal.tenant_id, principal.user_id, thread_id)
        return next(
            (_head(row) for row in rows if principal.may_see(row["agent_id"] or self._default_agent)), None
        )

    async def list_segments(self, session_id: int, run_id: str) -> list[RunSegment]:
        """Return the rows of a run, oldest first; empty when the thread has no such run."""
        return [_segment(row) for row in await self._fetch(_SEGMENTS, session_id, run_id)]

    async def find_run_at(self, session_id: int, ordinal: int) -> RunSegment | None:
        """Return the run with this ordinal."""
        return next((_segment(row) for row in await self._fetch(_RUN_AT, session_id, ordinal)), None)

    async def find_input(self, session_id: int, ordinal: int) -> asyncpg.Record | None:
        """Return ``run_id, input, protocol_version, created_at`` of the run with this ordinal."""
        return next(iter(await self._fetch(_INPUT_AT, session_id, ordinal)), None)

    async def page(self, session_id: int, after: Cursor, limit: int, max_bytes: int) -> list[Envelope]:
        """Return the thread's events after a cursor, oldest first.

        At most ``limit`` of them, up to and with the one that reaches ``max_bytes``. A page that reaches neither is the
        last one.
        """
        rows = await self._fetch(_PAGE, session_id, after.ordinal, after.seq, limit, max_bytes)
        return [_envelope(row) for row in rows]

    async def replica_page(
        self, session_id: int, after: Cursor, limit: int, max_bytes: int, *, upto: Cursor
    ) -> list[Envelope]:
        """Return events after a cursor from the replica, as many as ``page`` would; empty: the primary has to be asked.

        The log of a thread is committed in its order, so any snapshot of it is a beginning of it: what a replica has
        behind a cursor is right, however old. That there is nothing more, it cannot say.

        Args:
            session_id: The thread.
            after: Where the reader is.
            limit: As of ``page``.
            max_bytes: As of ``page``.
            upto: A place that is known to exist. What is less than a page away is not asked of the replica.
        """
        if self._replica is None or after >= upto or _is_near(after, upto, limit):
            return []
        asked = (session_id, after.ordinal, after.seq, limit, max_bytes)
        try:
            async with self._replica.log_snapshot(session_id, after.ordinal, self._gate) as connection:
                rows = (await connection.exec_driver_sql(_PAGE, asked)).mappings().all()
        except NotFromReplica:
            return []
        return [_envelope(row) for row in rows]

    async def moved(self, known: Mapping[int, Cursor]) -> dict[int, Cursor | None]:
        """Return the threads that have events after the place that is known of them, in one query.

        Threads where nothing happened are left out, so the answer for idle threads is empty.

        Returns:
            The place of the newest event of each such thread; ``None`` if the thread was deleted.
        """
        rows = await fetch(
            self._engine,
            _MOVED,
            list(known),
            [head.ordinal for head in known.values()],
            [head.seq for head in known.values()],
        )
        return {row["id"]: None if row["gone"] else Cursor(row["ordinal"], row["last_seq"]) for row in rows}

    async def floor(self) -> int:
        """Return the floor of the epoch (``events/epoch.py``)."""
        return (await fetch(self._engine, FLOOR_SQL))[0][0]

    async def has(self, session_id: int, place: Cursor) -> bool:
        """Say whether the place of a reader is in the log: its run is there, and has come that far."""
        if place.begins_after_restore:
            return True
        run = await self.find_run_at(session_id, place.ordinal)
        return run is not None and run.last_seq >= place.seq

    async def _fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._gate:
            return await fetch(self._engine, sql, *arguments)


def _is_near(after: Cursor, upto: Cursor, events: int) -> bool:
    """Say whether a reader lacks less than so many events: of its own run, or of the next one alone."""
    if after.ordinal == upto.ordinal:
        return upto.seq - after.seq < events
    return after.ordinal + 1 == upto.ordinal and upto.seq < events


def _envelope(row: Any) -> Envelope:
    return Envelope(row["ordinal"], row["seq"], row["payload"].encode())


def _head(row: asyncpg.Record) -> ThreadHead:
    head = Cursor(row["last_ordinal"], row["last_seq"])
    return ThreadHead(row["id"], row["thread_id"], head, row["pruned_ordinal"])


def _segment(row: asyncpg.Record) -> RunSegment:
    return RunSegment(row["ordinal"], row["last_seq"], row["status"], row["protocol_version"])
