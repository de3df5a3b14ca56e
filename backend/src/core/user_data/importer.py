"""Loads an export into a user who has nothing yet: all of it, or nothing.

Rules:

1. The file is checked as a whole first (``import_file``).
2. The bytes of files come first, as uploads that nobody sees. All rows are written in one transaction, which also makes
   files of the uploads. If it fails, the uploads are taken back; if the process dies, the chore of files removes them.
3. What an export does not have begins anew: threads have no log and no state of the agent, which reads the history
   instead. A run that had not ended is cancelled, a waiting one is left out, an open question is withdrawn. Connections
   are left out: their tokens are in no export. Schedules are paused: the right by which they fired is in no export, and
   where they were exported they may still fire.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import DefaultClause, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.status_sql import status_sql
from core.agentscope.schemas.schedules import IMPORTED
from core.erased_users import LOCK_NAME_SQL, require_somebody
from core.files.catalogue import StoredBytes
from core.files.library import FileLibrary
from core.identity import Principal
from core.user_data.export_lines import (
    FILE,
    FILE_BYTES,
    FILE_MISSING,
    FILE_USE,
    INTERRUPT,
    MEMORY,
    MESSAGE,
    MODEL_CALL,
    RUN,
    SCHEDULE,
    SCHEDULE_FIRE,
    THREAD,
    TRANSCRIPTION,
    Kind,
    member,
)
from core.user_data.import_file import CheckedExport, data_of

BATCH_ROWS = 200
BATCH_BYTES = 4 << 20
IMPORT_LOCK = 1095190861
"""Class of the advisory locks: "AGIM" in ASCII. One import of a user at a time."""


class UserNotEmpty(Exception):
    """The user has data already."""


class FilesNeeded(Exception):
    """The export has files, and no file store is set."""


class LinesLost(Exception):
    """The lines do not fit together: some of them would be lost. The text says which."""


class Importer:
    """Imports exports.

    Args:
        engine: Of the process.
        files: ``None`` if no file store is set.
    """

    def __init__(self, engine: AsyncEngine, files: FileLibrary | None) -> None:
        self._engine = engine
        self._files = files

    async def load(self, export: CheckedExport, principal: Principal) -> dict[str, int]:
        """Load an export; returns how many rows of each kind there are now.

        Raises:
            UserNotEmpty: The user has something. Nothing was written.
            FilesNeeded: Nothing was written.
            LinesLost: Nothing was written.
            ValueError: The principal names nobody.
        """
        require_somebody(principal.tenant_id, principal.user_id)
        if export.files and self._files is None:
            raise FilesNeeded
        async with self._engine.begin() as connection:
            await _require_empty(connection, principal)
        uploads: dict[str, StoredBytes] = {}
        try:
            if self._files is not None:
                for file_id, pieces in _bodies(export):
                    uploads[file_id] = await self._files.receive(principal, pieces)
            async with self._engine.begin() as connection:
                await _require_empty(connection, principal)
                return await _write(connection, principal, export, uploads)
        except BaseException:
            if self._files is not None:
                for upload in uploads.values():
                    await asyncio.shield(self._files.discard(upload))
            raise


async def _require_empty(connection: AsyncConnection, principal: Principal) -> None:
    key = {"tenant_id": principal.tenant_id, "user_id": principal.user_id}
    # Alone: of two imports at once, the second one sees what the first one wrote.
    await connection.execute(_ALONE, key)
    found = (await connection.execute(_FOUND, key)).one()
    if there := [table for table, is_there in found._mapping.items() if is_there]:
        raise UserNotEmpty(f"The user has data already, in: {', '.join(there)}.")


async def _write(
    connection: AsyncConnection,
    principal: Principal,
    export: CheckedExport,
    uploads: Mapping[str, StoredBytes],
) -> dict[str, int]:
    key = {"tenant_id": principal.tenant_id, "user_id": principal.user_id}
    counts: dict[str, int] = {}
    for kind, lines in _batches(export):
        if kind not in _INSERT:
            continue
        names = {file_id: upload.id for file_id, upload in uploads.items()} if kind == FILE.type else {}
        values = {**key, "lines": f"[{','.join(lines)}]"}
        values |= {"uploads": json.dumps(names)} if kind == FILE.type else {}
        written = (await connection.execute(_INSERT[kind], values)).rowcount
        if kind in _EVERY_LINE and written < len(lines):
            raise LinesLost(f"{len(lines) - written} lines '{kind}' belong to nothing in the export.")
        counts[kind] = counts.get(kind, 0) + written
    if (lost := len(uploads) - counts.get(FILE.type, 0)) > 0:
        raise LinesLost(f"{lost} files were not taken over.")
    # Triggers count the positions of replaced messages as they come: the export has them counted already.
    return counts


def _batches(export: CheckedExport) -> Iterator[tuple[str, list[str]]]:
    """Yield lines of one kind that follow each other, some at once. Bytes come last, and are not read again."""
    kind, lines, size = "", list[str](), 0
    for line, raw in export.lines():
        if line["type"] in {FILE_BYTES, FILE_MISSING}:
            break
        if lines and (line["type"] != kind or len(lines) >= BATCH_ROWS or size >= BATCH_BYTES):
            yield kind, lines
            lines, size = [], 0
        kind = line["type"]
        lines.append(raw)
        size += len(raw)
    if lines:
        yield kind, lines


def _bodies(export: CheckedExport) -> Iterator[tuple[str, AsyncIterator[bytes]]]:
    """Yield each file's id and its pieces, which are to be read before the next file."""
    pieces = (line for line, _ in export.lines() if line["type"] == FILE_BYTES)
    for file_id, of_file in itertools.groupby(pieces, key=lambda line: line["fileId"]):
        yield file_id, _decoded(of_file)


async def _decoded(lines: Iterable[dict[str, Any]]) -> AsyncIterator[bytes]:
    for line in lines:
        yield data_of(line)


_ALONE = text(f"SELECT pg_advisory_xact_lock({IMPORT_LOCK}, {LOCK_NAME_SQL})")
_THINGS = {
    "agent_chat_session": "",
    "agent_memory": "",
    "agent_model_call": "",
    "agent_transcription": "",
    "agent_schedule": "",
    # Without the uploads of this import.
    "agent_file": " AND t.state = 'ready'",
}
_LOOKS = ", ".join(
    f"EXISTS (SELECT FROM {table} AS t WHERE t.tenant_id = :tenant_id AND t.user_id = :user_id{more}) AS {table}"
    for table, more in _THINGS.items()
)
_FOUND = text(f"SELECT {_LOOKS}")


def _values(kind: Kind, changed: Mapping[str, str]) -> dict[str, str]:
    """Return SQL of what goes into each column."""
    found: dict[str, str] = {}
    for column in kind.columns:
        value = f'x."{member(column)}"'
        default = column.server_default
        if not column.nullable and isinstance(default, DefaultClause) and isinstance(default.arg, str):
            # Of an export that is older than the column.
            value = f"coalesce({value}, '{default.arg}')"
        found[column.name] = value
    return {**found, **changed}


def _insert(
    kind: Kind, changed: Mapping[str, str], join: str = "", *declared: str, where: str = "true"
) -> TextClause:
    values = _values(kind, changed)
    return text(f"""
        INSERT INTO {kind.table} ({", ".join(values)})
        SELECT {", ".join(values.values())}
        FROM json_to_recordset(CAST(:lines AS json)) AS x({kind.declared(*declared)}) {join} WHERE {where}
        """)  # noqa: S608  names of our tables and columns


_OWNER = {"tenant_id": ":tenant_id", "user_id": ":user_id"}
_THREAD = """JOIN agent_chat_session AS s
    ON s.tenant_id = :tenant_id AND s.user_id = :user_id AND s.thread_id = x."threadId" """
_RUN = 'JOIN agent_run AS r ON r.session_id = s.id AND r.ordinal = x."runOrdinal"'
_NOW = "clock_timestamp()"
_IMPORTED_TOLD = "It came with an import. Enable it: then it fires by your right, from that moment on."
_PAUSES = """x."pausedAt" IS NOT NULL OR x."endedAt" IS NULL"""
_EVERY_LINE = {THREAD.type, MESSAGE.type, MEMORY.type, SCHEDULE.type, SCHEDULE_FIRE.type}
"""Each line of these becomes a row. Runs that wait are left out, and what is theirs."""
_INSERT: Mapping[str, TextClause] = {
    THREAD.type: _insert(THREAD, {**_OWNER, "pruned_ordinal": 'x."lastOrdinal"'}),
    RUN.type: _insert(
        RUN,
        {
            **_OWNER,
            "session_id": "s.id",
            "task_id": "gen_random_uuid()::text",
            "status": status_sql("CASE WHEN x.status IN {live} THEN {cancelled} ELSE x.status END"),
            "ended_at": f'coalesce(x."endedAt", {_NOW})',
            "next_hint_at": _NOW,
            "queue_deadline_at": _NOW,
        },
        _THREAD,
        '"threadId" text',
        where=status_sql("x.status <> {waiting}"),
    ),
    MESSAGE.type: _insert(MESSAGE, {"session_id": "s.id"}, _THREAD, '"threadId" text'),
    INTERRUPT.type: _insert(
        INTERRUPT,
        {
            "session_id": "s.id",
            "run_pk": "r.id",
            "resolved_by_run_pk": "a.id",
            "status": status_sql(
                "CASE x.status WHEN {open_interrupt} THEN {cancelled_interrupt} ELSE x.status END"
            ),
            "resolved_at": f'coalesce(x."resolvedAt", {_NOW})',
        },
        f"""{_THREAD} {_RUN}
        LEFT JOIN agent_run AS a ON a.session_id = s.id AND a.ordinal = x."resolvedByOrdinal" """,
        '"threadId" text',
        '"runOrdinal" integer',
        '"resolvedByOrdinal" integer',
    ),
    MEMORY.type: _insert(MEMORY, {**_OWNER, "idempotency_key": "gen_random_uuid()::text"}),
    MODEL_CALL.type: _insert(
        MODEL_CALL,
        {**_OWNER, "run_pk": "r.id"},
        f"LEFT {_THREAD} LEFT {_RUN}",
        '"threadId" text',
        '"runOrdinal" integer',
    ),
    TRANSCRIPTION.type: _insert(TRANSCRIPTION, _OWNER),
    SCHEDULE.type: _insert(
        SCHEDULE,
        {
            **_OWNER,
            "paused_at": f'CASE WHEN {_PAUSES} THEN coalesce(x."pausedAt", {_NOW}) END',
            "pause_code": f"""CASE WHEN {_PAUSES} THEN coalesce(x."pauseCode", '{IMPORTED}') END""",
            "pause_detail": f"""CASE WHEN x."pausedAt" IS NOT NULL THEN x."pauseDetail"
                WHEN x."endedAt" IS NULL THEN '{_IMPORTED_TOLD}' END""",
            # No right at all.
            "credential": "'token'",
            "scopes": "'{}'",
            "groups": "'{}'",
            "claims": "'{}'",
        },
        "",
        '"pausedAt" timestamptz',
        '"pauseCode" text',
        '"pauseDetail" text',
    ),
    SCHEDULE_FIRE.type: _insert(
        SCHEDULE_FIRE,
        {"schedule_pk": "s.id", "give_up_at": _NOW},
        """JOIN agent_schedule AS s
            ON s.tenant_id = :tenant_id AND s.user_id = :user_id AND s.schedule_id = x."scheduleId" """,
        '"scheduleId" text',
    ),
    FILE.type: text(f"""
        UPDATE agent_file AS f SET state = 'ready', {
        ", ".join(f"{name} = {value}" for name, value in _values(FILE, {}).items())
    }
        FROM json_to_recordset(CAST(:lines AS json)) AS x({FILE.declared('"fileId" text')})
        WHERE f.tenant_id = :tenant_id AND f.user_id = :user_id AND f.state = 'pending'
            AND f.id = (CAST(:uploads AS json) ->> x."fileId")::bigint
        """),  # noqa: S608
    FILE_USE: text("""
        INSERT INTO agent_file_use (session_id, file_id)
        SELECT s.id, f.id FROM json_to_recordset(CAST(:lines AS json)) AS x("threadId" text, "fileId" text)
        JOIN agent_chat_session AS s
            ON s.tenant_id = :tenant_id AND s.user_id = :user_id AND s.thread_id = x."threadId"
        JOIN agent_file AS f ON f.tenant_id = s.tenant_id AND f.user_id = s.user_id AND f.state = 'ready'
            AND f.sha256 = decode(x."fileId", 'hex')
        """),
}
