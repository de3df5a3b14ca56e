"""Reads of the log: threads, runs, pages of events. Every look-up of a thread is scoped to its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.run_status import ENDED
from core.agentscope.schemas.cursor import Cursor
from core.gate import Gate
from core.identity import Principal

_THREAD = text("""
SELECT s.id, s.thread_id, s.last_ordinal, s.pruned_ordinal, coalesce(r.last_seq, 0) AS last_seq
FROM agent_chat_session AS s
LEFT JOIN agent_run AS r ON r.session_id = s.id AND r.ordinal = s.last_ordinal
WHERE s.tenant_id = :tenant_id AND s.user_id = :user_id AND s.thread_id = :thread_id
""")

_SEGMENTS = text("""
SELECT ordinal, last_seq, status, protocol_version
FROM agent_run WHERE session_id = :session_id AND run_id = :run_id ORDER BY segment
""")

_RUN_AT = text("""
SELECT ordinal, last_seq, status, protocol_version
FROM agent_run WHERE session_id = :session_id AND ordinal = :ordinal
""")

_PAGE = text("""
SELECT ordinal, seq, payload FROM (
    SELECT ordinal, seq, payload,
           sum(octet_length(payload)) OVER (ORDER BY ordinal, seq) - octet_length(payload) AS bytes_before
    FROM (
        SELECT ordinal, seq, payload FROM agent_run_event
        WHERE session_id = :session_id AND (ordinal, seq) > (:ordinal, :seq)
        ORDER BY ordinal, seq LIMIT :limit
    ) AS following
) AS page WHERE bytes_before < :max_bytes ORDER BY ordinal, seq
""")

_HEADS = text("""
SELECT s.id, s.last_ordinal, coalesce(r.last_seq, 0) AS last_seq
FROM agent_chat_session AS s
LEFT JOIN agent_run AS r ON r.session_id = s.id AND r.ordinal = s.last_ordinal
WHERE s.id = ANY(:session_ids)
""")


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

    Every read except :meth:`heads` raises ``Overloaded`` if it gets no place at the gate.
    """

    def __init__(self, engine: AsyncEngine, gate: Gate) -> None:
        self._engine = engine
        self._gate = gate

    async def find_thread(self, principal: Principal, thread_id: str) -> ThreadHead | None:
        """Return the caller's thread; a foreign one is ``None`` like an absent one."""
        async with self._gate, self._engine.connect() as connection:
            row = (
                await connection.execute(
                    _THREAD,
                    {
                        "tenant_id": principal.tenant_id,
                        "user_id": principal.user_id,
                        "thread_id": thread_id,
                    },
                )
            ).one_or_none()
        if row is None:
            return None
        return ThreadHead(row.id, row.thread_id, Cursor(row.last_ordinal, row.last_seq), row.pruned_ordinal)

    async def list_segments(self, session_id: int, run_id: str) -> list[RunSegment]:
        """Return the rows of a run, oldest first; empty when the thread has no such run."""
        async with self._gate, self._engine.connect() as connection:
            rows = await connection.execute(_SEGMENTS, {"session_id": session_id, "run_id": run_id})
            return [RunSegment(row.ordinal, row.last_seq, row.status, row.protocol_version) for row in rows]

    async def find_run_at(self, session_id: int, ordinal: int) -> RunSegment | None:
        """Return the run with this ordinal."""
        async with self._gate, self._engine.connect() as connection:
            row = (
                await connection.execute(_RUN_AT, {"session_id": session_id, "ordinal": ordinal})
            ).one_or_none()
        return (
            None if row is None else RunSegment(row.ordinal, row.last_seq, row.status, row.protocol_version)
        )

    async def page(self, session_id: int, after: Cursor, limit: int, max_bytes: int) -> list[Envelope]:
        """Return the thread's events after a cursor, oldest first.

        At most ``limit`` of them, up to and with the one that reaches ``max_bytes``. A page that reaches neither is the
        last one.
        """
        async with self._gate, self._engine.connect() as connection:
            rows = await connection.execute(
                _PAGE,
                {
                    "session_id": session_id,
                    "ordinal": after.ordinal,
                    "seq": after.seq,
                    "limit": limit,
                    "max_bytes": max_bytes,
                },
            )
            return [Envelope(row.ordinal, row.seq, row.payload.encode()) for row in rows]

    async def heads(self, session_ids: Sequence[int]) -> dict[int, Cursor]:
        """Return the place of the newest event of each thread, in one query."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(_HEADS, {"session_ids": list(session_ids)})
            return {row.id: Cursor(row.last_ordinal, row.last_seq) for row in rows}
