"""What the opening of a connect stream is made of, read from Postgres. See ``events/connect.py``."""

from __future__ import annotations

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.connect import ConnectSource, LoggedRun
from core.agentscope.events.queries.history import HistoryReader
from core.agentscope.events.read_gate import ReadGate
from core.agentscope.events.reopening import STRUCTURE_TYPES
from core.agentscope.events.status_sql import status_text
from core.agentscope.schemas.agent_runtime import HistorySnapshotResponse
from core.agentscope.schemas.cursor import Cursor
from core.errors import NotFound
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
SELECT payload FROM agent_run_event
WHERE session_id = :session_id AND ordinal = :ordinal AND seq <= :seq
    AND split_part(left(payload, 64), '"', 4) = ANY(:types)
ORDER BY seq
""")

_EVENTS = text("""
SELECT payload FROM agent_run_event
WHERE session_id = :session_id AND ordinal = :ordinal AND seq <= :seq ORDER BY seq
""")


class OpeningReader:
    """Reads openings of threads of their owner."""

    def __init__(self, engine: AsyncEngine, history: HistoryReader, gate: ReadGate) -> None:
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
        gate: ReadGate,
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

    async def structure(self, upto: Cursor) -> list[bytes]:
        return await self._payloads(_STRUCTURE, upto, types=list(STRUCTURE_TYPES))

    async def events(self, upto: Cursor) -> list[bytes]:
        return await self._payloads(_EVENTS, upto)

    async def _payloads(self, statement: TextClause, upto: Cursor, **parameters: object) -> list[bytes]:
        place = {"session_id": self._session_id, "ordinal": upto.ordinal, "seq": upto.seq}
        async with self._gate, self._engine.connect() as connection:
            rows = await connection.execute(statement, place | parameters)
            return [row.payload.encode() for row in rows]


def _logged(row: Row[tuple[int, str, str, int, str | None]] | None) -> LoggedRun | None:
    return None if row is None else LoggedRun(*row)
