"""What the opening of a connect stream is made of, read from Postgres. See ``events/connect.py``."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.connect import ConnectSource, LoggedRun
from core.agentscope.events.log_fold import PAGE_EVENTS, LogFold, log_page
from core.agentscope.events.queries.history import HistoryReader
from core.agentscope.events.reopening import STRUCTURE_TYPES, RunStructure
from core.agentscope.events.status_sql import status_text
from core.agentscope.schemas.agent_runtime import HistorySnapshotResponse
from core.agentscope.schemas.cursor import Cursor
from core.errors import NotFound
from core.gate import Gate
from core.identity import Principal

_RUN_AT = text("""
SELECT ordinal, run_id, status, last_seq, error_code FROM agent_run
WHERE session_id = :session_id AND ordinal = :ordinal
""")

_ASKING_RUN = status_text("""
SELECT ordinal, run_id, status, last_seq, error_code FROM agent_run
WHERE session_id = :session_id AND id IN (
    SELECT run_pk FROM agent_interrupt WHERE session_id = :session_id AND status = {open_interrupt})
ORDER BY ordinal DESC LIMIT 1
""")

# The codec writes `type` first. The deltas, nearly all of a long run, are read by the fold of history only.
_STRUCTURE = text("""
SELECT seq, payload FROM agent_run_event
WHERE session_id = :session_id AND ordinal = :ordinal AND seq > :after AND seq <= :seq
    AND log_part >= coalesce((SELECT log_part FROM agent_run WHERE session_id = :session_id AND ordinal = :ordinal), 0)
    AND split_part(left(payload, 64), '"', 4) = ANY(:types)
ORDER BY seq LIMIT :limit
""")


class OpeningReader:
    """Reads openings of threads of their owner."""

    def __init__(self, engine: AsyncEngine, history: HistoryReader, gate: Gate) -> None:
        self._engine = engine
        self._history = history
        self._gate = gate

    def of_thread(self, principal: Principal, thread_id: str, session_id: int | None) -> ConnectSource:
        """Return the source of one thread's opening; ``None`` as session: the caller has no such thread.

        Its reads need no common snapshot: history says up to which cursor, and what the log has up to a cursor does
        not change.
        """
        return _ThreadSource(self._engine, self._history, self._gate, principal, thread_id, session_id)


class _ThreadSource:
    def __init__(
        self,
        engine: AsyncEngine,
        history: HistoryReader,
        gate: Gate,
        principal: Principal,
        thread_id: str,
        session_id: int | None,
    ) -> None:
        self._engine = engine
        self._history = history
        self._gate = gate
        self._principal = principal
        self._thread_id = thread_id
        self._session_id = session_id

    async def history(self, limit: int) -> HistorySnapshotResponse | None:
        if self._session_id is None:
            return None
        try:
            async with self._gate:
                return await self._history.history(self._principal, self._thread_id, limit=limit, before=None)
        except NotFound:
            return None

    async def find_run(self, ordinal: int) -> LoggedRun | None:
        async with self._gate, self._engine.connect() as connection:
            found = await connection.execute(_RUN_AT, {"session_id": self._session_id, "ordinal": ordinal})
            return _logged(found.one_or_none())

    async def find_asking_run(self) -> LoggedRun | None:
        async with self._gate, self._engine.connect() as connection:
            found = await connection.execute(_ASKING_RUN, {"session_id": self._session_id})
            return _logged(found.one_or_none())

    async def structure(self, upto: Cursor) -> RunStructure:
        place: dict[str, Any] = {
            "session_id": self._session_id,
            "ordinal": upto.ordinal,
            "seq": upto.seq,
            "types": list(STRUCTURE_TYPES),
            "limit": PAGE_EVENTS,
        }
        structure, after = RunStructure(), 0
        while True:
            async with self._gate, self._engine.connect() as connection:
                page = (await connection.execute(_STRUCTURE, place | {"after": after})).all()
            structure.extend(row.payload.encode() for row in page)
            if len(page) < PAGE_EVENTS:
                return structure
            after = page[-1].seq
            # Other streams and requests go on in between.
            await asyncio.sleep(0)

    async def messages(self, upto: Cursor) -> list[dict[str, Any]]:
        log = LogFold()
        while log.seq < upto.seq:
            async with self._gate, self._engine.connect() as connection:
                page = await log_page(connection, self._session_id or 0, upto.ordinal, after=log.seq)
            if not page:
                break
            log.extend([event for event in page if event.seq <= upto.seq])
            if page[-1].seq >= upto.seq:
                break
            await asyncio.sleep(0)
        return log.fold.snapshot()


def _logged(row: Row[tuple[int, str, str, int, str | None]] | None) -> LoggedRun | None:
    return None if row is None else LoggedRun(*row)
