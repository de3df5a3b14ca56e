"""Exports a user as lines of JSON: a manifest first, and last a line with a digest of all that came before.

Rules:

1. Everything from Postgres is of one snapshot, the counts of the manifest too. The bytes of files come after it, when no
   snapshot is held any more: for a file that was deleted meanwhile, a line says so.
2. The order is stable: two exports of the same data are equal, byte for byte, but for the time in the manifest.
3. Memory is bounded: rows come through a cursor of the database, bytes of files in pieces.
4. Never a token, never a right. Not exported are what the service keeps for itself: the log of events, states of the
   agent, budgets, fires that are still to be tried.
5. An export without its last line was cut off.
6. If a replica fails in the middle, the lines that were told are compared with those of the primary's snapshot. If these
   are the same, the export goes on behind them, and is one of that snapshot. If not, it is cut off.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.schemas.schedules import IMPORTED
from core.errors import FilesOff, NotFound, StoreUnavailable
from core.files.library import FileLibrary
from core.identity import Principal
from core.places import Places
from core.replica.reasons import NotFromReplica
from core.replica.replica import Replica
from core.user_data.export_lines import (
    CONNECTION,
    END,
    FILE,
    FILE_BYTES,
    FILE_MISSING,
    FILE_USE,
    FORMAT,
    INTERRUPT,
    MANIFEST,
    MEMORY,
    MESSAGE,
    MODEL_CALL,
    OF_USER,
    PAUSE_COLUMNS,
    RUN,
    SCHEDULE,
    SCHEDULE_FIRE,
    THREAD,
    TRANSCRIPTION,
    VERSION,
    Kind,
)

PIECE_BYTES = 192 << 10
"""Of a file in one line: 256 KiB in Base64."""
CHUNK_BYTES = 64 << 10
"""About as much is sent at once."""
_ROWS = 8
"""Rows that are read ahead. A message may have megabytes."""
_LIMITS = (
    "SET LOCAL idle_in_transaction_session_timeout = '60s'",
    "SET LOCAL statement_timeout = '60s'",
)
"""A reader that takes nothing for a minute holds the snapshot no longer: the export is cut off."""


class Exporter:
    """The exports of a process.

    Args:
        engine: Of the process.
        files: ``None`` if no file store is set.
        replica: ``None``: the deployment has none.
        places: At once. Each holds a connection of the pool until the files come.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        files: FileLibrary | None,
        *,
        replica: Replica | None = None,
        places: int = 2,
    ) -> None:
        self.engine = engine
        self._replica = replica
        self._snapshots = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._files = files
        self._places = Places(1, places)

    async def export(self, principal: Principal) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an export. The first ones come after every refusal.

        Raises:
            RateLimited: The user has an export under way.
            Overloaded: Other users have all places.
        """
        with self._places.hold(
            principal,
            too_many="You have an export under way. Ask again when it has ended.",
            full="Too many exports are under way. Ask again soon.",
        ):
            sent = False
            try:
                async with aclosing(self._chunks(principal, self._replica)) as chunks:
                    async for chunk in chunks:
                        sent = True
                        yield chunk
            except _ChangedMeanwhile as exc:
                if sent:
                    raise StoreUnavailable("Your data changed while it was exported. Ask again.") from exc
            else:
                return
            async with aclosing(self._chunks(principal, None)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _chunks(self, principal: Principal, replica: Replica | None) -> AsyncGenerator[bytes, None]:
        digest, lines, waiting = hashlib.sha256(), 0, bytearray()
        # Closed here, also if the reader goes away: the connection is given back at once.
        async with aclosing(self._lines(principal, replica)) as found:
            async for line in found:
                waiting += line
                waiting += b"\n"
                lines += 1
                if len(waiting) >= CHUNK_BYTES:
                    digest.update(waiting)
                    yield bytes(waiting)
                    waiting.clear()
        digest.update(waiting)
        end = {"type": END, "lines": lines, "sha256": digest.hexdigest()}
        yield bytes(waiting) + _json(end) + b"\n"

    async def _lines(self, principal: Principal, replica: Replica | None) -> AsyncGenerator[bytes, None]:
        key = {"tenant_id": principal.tenant_id, "user_id": principal.user_id}
        files: list[str] = []
        async with aclosing(self._rows(key, files, replica)) as rows:
            async for line in rows:
                yield line
        for file_id in files:
            async for line in self._bytes_of(principal, file_id):
                yield line

    async def _rows(
        self, key: Mapping[str, Any], files: list[str], replica: Replica | None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of one snapshot, and note the ids of the files.

        Raises:
            _ChangedMeanwhile: The replica failed, and what it told is not what the primary tells.
        """
        told = _Told()
        if replica is not None:
            try:
                async with (
                    replica.snapshot("export") as connection,
                    aclosing(_all_rows(connection, key, files)) as rows,
                ):
                    async for line in rows:
                        told.add(line)
                        yield line
                return
            except NotFromReplica:
                files.clear()
        async with (
            self._snapshots.connect() as connection,
            aclosing(_all_rows(connection, key, files)) as rows,
        ):
            again = _Told()
            async for line in rows:
                if again.lines == told.lines:
                    yield line
                    continue
                again.add(line)
                if again.lines == told.lines and again.digest != told.digest:
                    raise _ChangedMeanwhile
            if again.lines < told.lines:
                raise _ChangedMeanwhile

    async def _bytes_of(self, principal: Principal, file_id: str) -> AsyncIterator[bytes]:
        """Yield the pieces of a file. Another file of the user is never taken for it: its id is its digest."""
        try:
            if self._files is None:
                raise FilesOff
            chunks = await self._files.open(await self._files.get(principal, file_id))
        except (NotFound, FilesOff):
            yield _json({"type": FILE_MISSING, "fileId": file_id})
            return
        offset, gathered = 0, bytearray()
        async for chunk in chunks:
            gathered += chunk
            while len(gathered) >= PIECE_BYTES:
                yield _piece(file_id, offset, gathered[:PIECE_BYTES])
                offset += PIECE_BYTES
                del gathered[:PIECE_BYTES]
        if gathered:
            yield _piece(file_id, offset, gathered)


class _ChangedMeanwhile(Exception):
    """The snapshot that was begun is lost, and no other one begins with the same lines."""


class _Told:
    """The lines that were told, without the time in the manifest."""

    def __init__(self) -> None:
        self.lines = 0
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> bytes:
        return self._digest.digest()

    def add(self, line: bytes) -> None:
        self.lines += 1
        same = line if self.lines > 1 else _json({**json.loads(line), "exportedAt": None})
        self._digest.update(same + b"\n")


async def _all_rows(
    connection: AsyncConnection, key: Mapping[str, Any], files: list[str]
) -> AsyncGenerator[bytes, None]:
    for limit in _LIMITS:
        await connection.execute(text(limit))
    yield _json(await _manifest(connection, key))
    async for session_id, line in _stream(connection, _THREADS, key):
        yield line
        for statement in _OF_THREAD:
            async for _, row in _stream(connection, statement, {"session_id": session_id}):
                yield row
    for kind in OF_USER:
        async for name, line in _stream(connection, _OF_USER[kind.type], key):
            yield line
            if kind is FILE:
                files.append(name)
    async for _, line in _stream(connection, _FILE_USES, key):
        yield line


def _piece(file_id: str, offset: int, data: bytes | bytearray) -> bytes:
    encoded = base64.b64encode(data).decode()
    return _json({"type": FILE_BYTES, "fileId": file_id, "offset": offset, "data": encoded})


async def _manifest(connection: AsyncConnection, key: Mapping[str, Any]) -> dict[str, Any]:
    counts = (await connection.execute(_COUNTS, key)).one()
    return {
        "type": MANIFEST,
        "format": FORMAT,
        "version": VERSION,
        "service": version("agentroute"),
        "exportedAt": datetime.now(UTC).isoformat(),
        "tenantId": key["tenant_id"],
        "userId": key["user_id"],
        "counts": dict(counts._mapping),
    }


async def _stream(
    connection: AsyncConnection, statement: Any, values: Mapping[str, Any]
) -> AsyncIterator[tuple[Any, bytes]]:
    """Yield a name and a line for each row."""
    cursor = await connection.stream(statement, values, execution_options={"max_row_buffer": _ROWS})
    async for row in cursor:
        found = row._mapping
        yield found["name"], found["line"].encode()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


_MINE = "tenant_id = :tenant_id AND user_id = :user_id"


def _query(
    kind: Kind, where: str, *, more: str = "", join: str = "", name: str = "x.id", order: str = "x.id"
) -> Any:
    """Return the query of a kind: a name and a line for each row ``x``."""
    return text(f"""
        SELECT {name} AS name, row_to_json(one)::text AS line
        FROM {kind.table} AS x {join}
        CROSS JOIN LATERAL (SELECT '{kind.type}' AS type{more}, {kind.selected("x")}) AS one
        WHERE {where} ORDER BY {order}
        """)  # noqa: S608  names of our tables and columns


_OWNED = "x.tenant_id = :tenant_id AND x.user_id = :user_id"
_OF_SCHEDULE = "s.tenant_id = :tenant_id AND s.user_id = :user_id"
_HERE = "x.session_id = :session_id"
_THREAD_ID = ', (SELECT s.thread_id FROM agent_chat_session AS s WHERE s.id = x.session_id) AS "threadId"'
_THREADS = _query(THREAD, _OWNED)
_OF_THREAD = (
    _query(RUN, _HERE, more=_THREAD_ID, order="x.ordinal NULLS LAST, x.id"),
    _query(MESSAGE, _HERE, more=_THREAD_ID, order="x.position"),
    _query(
        INTERRUPT,
        _HERE,
        more=f"""{_THREAD_ID}, r.ordinal AS "runOrdinal", a.ordinal AS "resolvedByOrdinal" """,
        join="JOIN agent_run AS r ON r.id = x.run_pk LEFT JOIN agent_run AS a ON a.id = x.resolved_by_run_pk",
    ),
)
_OF_USER = {
    FILE.type: _query(
        FILE,
        f"{_OWNED} AND x.state = 'ready'",
        more=""", encode(x.sha256, 'hex') AS "fileId" """,
        name="encode(x.sha256, 'hex')",
    ),
    MEMORY.type: _query(MEMORY, _OWNED),
    MODEL_CALL.type: _query(
        MODEL_CALL,
        _OWNED,
        more=""", s.thread_id AS "threadId", r.ordinal AS "runOrdinal" """,
        join="LEFT JOIN agent_run AS r ON r.id = x.run_pk LEFT JOIN agent_chat_session AS s ON s.id = r.session_id",
        order="x.created_at, x.id",
    ),
    TRANSCRIPTION.type: _query(TRANSCRIPTION, _OWNED, order="x.created_at, x.id"),
    CONNECTION.type: _query(CONNECTION, _OWNED, order="x.server"),
    SCHEDULE.type: _query(
        SCHEDULE,
        _OWNED,
        # What only an import has paused is exported as it was before: the next import pauses it again.
        more="".join(
            f""", CASE WHEN x.pause_code <> '{IMPORTED}' THEN x.{column} END AS "{name}" """
            for column, name in PAUSE_COLUMNS.items()
        ),
    ),
    SCHEDULE_FIRE.type: _query(
        SCHEDULE_FIRE,
        f"{_OF_SCHEDULE} AND x.settled_at IS NOT NULL",
        more=', s.schedule_id AS "scheduleId"',
        join="JOIN agent_schedule AS s ON s.id = x.schedule_pk",
        order="s.id, x.fire_at, x.id",
    ),
}
_FILE_USES = text(f"""
SELECT f.id AS name, row_to_json(one)::text AS line
FROM agent_chat_session AS s JOIN agent_file_use AS u ON u.session_id = s.id JOIN agent_file AS f ON f.id = u.file_id
CROSS JOIN LATERAL (
    SELECT '{FILE_USE}' AS type, s.thread_id AS "threadId", encode(f.sha256, 'hex') AS "fileId") AS one
WHERE s.tenant_id = :tenant_id AND s.user_id = :user_id AND f.state = 'ready' ORDER BY s.id, f.id
""")  # noqa: S608
_OF_THREADS = f"session_id IN (SELECT id FROM agent_chat_session WHERE {_MINE})"  # noqa: S608
_COUNTS = text(f"""
SELECT (SELECT count(*) FROM agent_chat_session WHERE {_MINE}) AS "{THREAD.type}",
    (SELECT count(*) FROM agent_run WHERE {_OF_THREADS}) AS "{RUN.type}",
    (SELECT count(*) FROM agent_chat_message WHERE {_OF_THREADS}) AS "{MESSAGE.type}",
    (SELECT count(*) FROM agent_interrupt WHERE {_OF_THREADS}) AS "{INTERRUPT.type}",
    (SELECT count(*) FROM agent_file WHERE {_MINE} AND state = 'ready') AS "{FILE.type}",
    (SELECT count(*) FROM agent_memory WHERE {_MINE}) AS "{MEMORY.type}",
    (SELECT count(*) FROM agent_model_call WHERE {_MINE}) AS "{MODEL_CALL.type}",
    (SELECT count(*) FROM agent_transcription WHERE {_MINE}) AS "{TRANSCRIPTION.type}",
    (SELECT count(*) FROM agent_connection WHERE {_MINE}) AS "{CONNECTION.type}",
    (SELECT count(*) FROM agent_schedule WHERE {_MINE}) AS "{SCHEDULE.type}",
    (SELECT count(*) FROM agent_schedule_fire AS x JOIN agent_schedule AS s ON s.id = x.schedule_pk
        WHERE {_OF_SCHEDULE} AND x.settled_at IS NOT NULL) AS "{SCHEDULE_FIRE.type}"
""")  # noqa: S608
