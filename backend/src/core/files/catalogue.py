"""The rows of files: who has which bytes, and where they are in the store. No bytes pass through here.

Rules:

1. The row of an upload is committed before its first byte is stored (``pending``). It becomes ``ready`` when all bytes
   are durable, and ``deleting`` before they are removed. It goes last. So whatever dies, a row leads to every byte, and a
   ready row has its bytes.
2. Quotas are counted under a lock of the user when a row becomes ready: uploads at the same moment cannot pass together
   what one of them may not.
3. A message that names a file takes ``unused_since`` away, in the transaction that accepts its run. The chore looks at
   that column in the statement that deletes: whoever is second sees what the first one did.
4. An upload is a promise: a message may name the file for ``unused_seconds``. So a file that was uploaded again since a
   message named it outlives its last thread (``uploaded_again_at``).
5. If files are kept for a time (``retention_days``), it counts from the newest upload of a file, or the newest message
   that named it (``used_at``). Threads that name a file which is deleted, by its owner or after that time, are noted in
   the same transaction (``agent_file_gone``): whoever asks for it is told so.
6. A credential that is limited to agents has the files that messages in threads of these agents name, and those that were
   uploaded for a message to come. All others look absent to it.

See docs/adr/0031.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.config import FileSettings, LimitSettings
from core.errors import FileQuotaExceeded, FilesUnavailable
from core.files.file_retention import expire_old, note_gone, was_deleted
from core.files.store import new_name
from core.identity import Principal
from core.stored_bytes import refuse_full

_OWNER_LOCK = 1095193158  # "AGFF": a class of advisory locks of its own
BATCH = 100
STEP = 5000
"""Rows that :meth:`FileCatalogue.find_unnamed` looks at."""
_COLUMNS = (
    "id, encode(sha256, 'hex') AS file_id, name_in_store, media_type, name, bytes, created_at, unused_since"
)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A ready file."""

    id: int
    file_id: str
    """SHA-256 of its bytes, in hexadecimal: the id that its owner knows."""
    name_in_store: str
    media_type: str
    name: str
    bytes: int
    created_at: datetime
    unused_since: datetime | None


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """A row, and where its bytes are: of an upload that has begun, or of a file that is being deleted."""

    id: int
    name_in_store: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """What an upload turned out to be."""

    sha256: bytes
    media_type: str
    name: str
    bytes: int


class FileCatalogue:
    """The rows of a deployment.

    Args:
        engine: Of the process.
        settings: The quotas of files.
        limits: The quotas of everything that is stored.
        default_agent: The agent of threads without an id of one.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        settings: FileSettings,
        limits: LimitSettings,
        default_agent: str | None = None,
    ) -> None:
        self._engine = engine
        self._default_agent = default_agent
        self._settings = settings
        self._limits = limits

    async def begin(self, principal: Principal, least_bytes: int) -> StoredBytes:
        """Write the row of an upload.

        Args:
            principal: Whose.
            least_bytes: As many bytes will come at least, as far as is known.

        Raises:
            FileQuotaExceeded, StorageQuotaExceeded: The user certainly has no room for them.
        """
        name = new_name(_folder_of(principal))
        async with self._engine.begin() as connection:
            self._check(await _used(connection, principal), least_bytes)
            await refuse_full(connection, principal, self._limits, max(least_bytes, 1))
            key = {**_key(principal), "name": name}
            return StoredBytes((await connection.execute(_BEGIN, key)).scalar_one(), name)

    async def finish(
        self, principal: Principal, pending: StoredBytes, arrived: Arrived
    ) -> tuple[StoredFile, bool]:
        """Make an upload a file; returns it, and whether it is new.

        If the user has these bytes already, the older file is returned, with the new name, and the upload is left to
        be discarded.

        Raises:
            FileQuotaExceeded, StorageQuotaExceeded: The user has no room for it.
            FilesUnavailable: The upload took so long that the chore gave it up.
        """
        values = {**_key(principal), "id": pending.id, "sha256": arrived.sha256, "name": arrived.name}
        async with self._engine.begin() as connection:
            await connection.execute(_LOCK_OWNER, {"lock": _OWNER_LOCK, "owner": _folder_of(principal)})
            known = (await connection.execute(_TOUCH, values)).mappings().one_or_none()
            if known is not None:
                return StoredFile(**known), False
            self._check(await _used(connection, principal), arrived.bytes)
            await refuse_full(connection, principal, self._limits, arrived.bytes)
            values |= {"media_type": arrived.media_type, "bytes": arrived.bytes}
            row = (await connection.execute(_FINISH, values)).mappings().one_or_none()
            if row is None:
                raise FilesUnavailable("The upload was given up. Send the file again.")
            return StoredFile(**row), True

    async def find(self, principal: Principal, file_ids: Collection[str]) -> dict[str, StoredFile]:
        """Return those of the files that the user has, by id."""
        values = {**self._left(principal), "ids": _digests(file_ids)}
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_FIND[principal.agents is not None], values)).mappings()
            return {row["file_id"]: StoredFile(**row) for row in rows}

    async def was_deleted(self, principal: Principal, file_id: str) -> bool:
        """Say whether the user had this file, and a message of the user still names it."""
        values = {**self._left(principal), "ids": _digests([file_id])}
        async with self._engine.connect() as connection:
            return await was_deleted(connection, values)

    async def list_page(self, principal: Principal, *, limit: int, before: int | None) -> list[StoredFile]:
        """Return the user's files, newest first: those before a row id, if one is given."""
        values = {
            **self._left(principal),
            "limit": limit,
            "before": before if before is not None else (1 << 63) - 1,
        }
        async with self._engine.connect() as connection:
            rows = await connection.execute(_LIST[principal.agents is not None], values)
            return [StoredFile(**row) for row in rows.mappings()]

    async def mark_deleted(self, principal: Principal, file_id: str) -> list[StoredBytes]:
        """Make a file of the user absent; returns what is to be removed from the store: nothing if there is none."""
        values = {**self._left(principal), "ids": _digests([file_id])}
        async with self._engine.begin() as connection:
            rows = (await connection.execute(_MARK[principal.agents is not None], values)).all()
            await note_gone(connection, [row.id for row in rows])
            return [StoredBytes(row.id, row.name_in_store) for row in rows]

    async def take_back(self, principal: Principal, files: Iterable[StoredFile]) -> list[StoredBytes]:
        """Make files absent that nobody has named or uploaded again since they were returned here."""
        taken: list[StoredBytes] = []
        async with self._engine.begin() as connection:
            for file in files:
                values = {**_key(principal), "id": file.id, "since": file.unused_since}
                rows = await connection.execute(_TAKE_BACK, values)
                taken += [StoredBytes(row.id, row.name_in_store) for row in rows]
        return taken

    async def give_up(self, pending: StoredBytes) -> bool:
        """Note that an upload will not become a file; False when it is one."""
        async with self._engine.begin() as connection:
            await connection.execute(_GIVE_UP, {"id": pending.id})
            # No row: the chore gave the upload up before, perhaps before its bytes were stored.
            return await connection.scalar(_STATE, {"id": pending.id}) != "ready"

    async def forget(self, rows: Sequence[int]) -> None:
        """Delete rows whose bytes are gone."""
        async with self._engine.begin() as connection:
            await connection.execute(_FORGET, {"ids": list(rows)})

    async def expire(self) -> int:
        """Mark what nobody will use any more; returns how much: at most :data:`BATCH` of each kind."""
        async with self._engine.begin() as connection:
            values = {
                "batch": BATCH,
                "unused_seconds": self._settings.unused_seconds,
                # Longer than any upload can take, its last statement included.
                "pending_seconds": 2 * self._settings.upload_seconds + 3600,
            }
            unused = (await connection.execute(_EXPIRE_UNUSED, values)).rowcount
            pending = (await connection.execute(_EXPIRE_PENDING, values)).rowcount
            days = self._settings.retention_days
            old = await expire_old(connection, days=days, batch=BATCH) if days else 0
            return unused + pending + old

    async def find_unnamed(self, after: int = 0) -> int:
        """Note which of the next :data:`STEP` files no thread names any more; returns where to go on, 0 at the end.

        A thread that is deleted takes its files along by itself, except where a process of a version without files
        deletes it. Such files then expire like those that no message has named.
        """
        async with self._engine.begin() as connection:
            row = (await connection.execute(_UNNAMED, {"step": STEP, "after": after})).one()
            if row.found:
                # The second statement sees who named one of them before its lock was given.
                values = {"rows": row.found}
                held = (await connection.execute(_HOLD_UNNAMED, values)).scalars().all()
                await connection.execute(_NOTE_UNNAMED, {"rows": list(held)})
            return row.last if row.looked_at == STEP else 0

    async def leaving(self, after: int = 0) -> list[StoredBytes]:
        """Return files whose bytes are to be removed, oldest rows first: those behind a row id."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(_LEAVING, {"batch": BATCH, "after": after})
            return [StoredBytes(row.id, row.name_in_store) for row in rows]

    def _left(self, principal: Principal) -> dict[str, Any]:
        return _left(principal, self._default_agent)

    def _check(self, used: tuple[int, int], more: int) -> None:
        files, size = used
        if files >= self._settings.max_user_files:
            raise FileQuotaExceeded(
                f"You have {files} files; at most {self._settings.max_user_files} are allowed. Delete some.",
                maxFiles=self._settings.max_user_files,
            )
        if size + more > self._settings.max_user_bytes:
            raise FileQuotaExceeded(
                f"Your files have {size} bytes; with this one they would exceed {self._settings.max_user_bytes}. Delete some.",
                maxBytes=self._settings.max_user_bytes,
                usedBytes=size,
            )


async def name_files(
    connection: AsyncConnection,
    principal: Principal,
    session_id: int,
    file_ids: Collection[str],
    *,
    default_agent: str | None = None,
) -> dict[str, StoredFile]:
    """Note that messages of a thread name files; returns those that exist, by id.

    In the caller's transaction, which holds the thread's lock: from here to its end, none of them can be deleted.
    """
    values = {**_left(principal, default_agent), "ids": _digests(file_ids), "session_id": session_id}
    # In the order of their ids: two transactions that name the same files wait for each other once.
    rows = (await connection.execute(_HOLD[principal.agents is not None], values)).mappings().all()
    if rows:
        values["rows"] = [row["id"] for row in rows]
        await connection.execute(_IN_USE, values)
        await connection.execute(_USE, values)
    return {row["file_id"]: StoredFile(**row) for row in rows}


async def leave_thread(connection: AsyncConnection, session_id: int) -> list[int]:
    """Lock the files that a thread names, before the thread goes; returns their rows for :func:`drop_unnamed`."""
    return [row.id for row in await connection.execute(_HOLD_OF_THREAD, {"session_id": session_id})]


async def drop_unnamed(connection: AsyncConnection, rows: Sequence[int]) -> list[StoredBytes]:
    """Mark those files as deleted that no thread names any more; returns what is to be removed from the store.

    A file that was uploaded again since a message named it stays, and expires like one that no message has named.
    """
    if not rows:
        return []
    # A statement of its own: it sees what other transactions committed before the locks were given.
    marked = await connection.execute(_MARK_UNNAMED, {"rows": list(rows)})
    return [StoredBytes(row.id, row.name_in_store) for row in marked if row.state == "deleting"]


async def _used(connection: AsyncConnection, principal: Principal) -> tuple[int, int]:
    row = (await connection.execute(_USED, _key(principal))).one()
    return row.files, row.size


def _key(principal: Principal) -> dict[str, Any]:
    return {"tenant_id": principal.tenant_id, "user_id": principal.user_id}


def _left(principal: Principal, default_agent: str | None) -> dict[str, Any]:
    """Return the values of a statement on the files that the credential leaves to its caller."""
    if principal.agents is None:
        return _key(principal)
    return _key(principal) | {"agents": principal.agents, "default_agent": default_agent}


def _folder_of(principal: Principal) -> str:
    """Return the folder of a user in the store: it tells nothing of who it is."""
    owner = f"{len(principal.tenant_id)}/{principal.tenant_id}/{principal.user_id}"
    return hashlib.sha256(owner.encode()).hexdigest()[:32]


def _digests(file_ids: Collection[str]) -> list[bytes]:
    """Return the digests of the ids that have the form of one."""
    return [bytes.fromhex(file_id) for file_id in file_ids if is_file_id(file_id)]


def is_file_id(text_: str) -> bool:
    """Say whether a text has the form of a file's id."""
    return len(text_) == 64 and all(letter in "0123456789abcdef" for letter in text_)


_OWNED = "tenant_id = :tenant_id AND user_id = :user_id AND state = 'ready'"
_READY = "{owned} AND sha256 = ANY(CAST(:ids AS bytea[]))"

# Only in the statements of credentials that are limited to agents. Without a thread that names it, a file is no agent's.
_OF_AGENTS = """(unused_since IS NOT NULL OR uploaded_again_at IS NOT NULL OR EXISTS (
    SELECT FROM agent_file_use AS u JOIN agent_chat_session AS s ON s.id = u.session_id
    WHERE u.file_id = agent_file.id
        AND coalesce(s.agent_id, CAST(:default_agent AS text)) = ANY (CAST(:agents AS text[]))))"""


def _left_or_all(statement: str) -> dict[bool, TextClause]:
    """Return the two forms of a statement, by whether the credential is limited to agents."""
    return {
        limited: text(statement.replace("{owned}", f"{_OWNED} AND {_OF_AGENTS}" if limited else _OWNED))
        for limited in (False, True)
    }


_LOCK_OWNER = text("SELECT pg_advisory_xact_lock(:lock, hashtext(:owner))")
_USED = text(f"""
SELECT count(*) AS files, coalesce(sum(bytes), 0)::bigint AS size FROM agent_file WHERE {_OWNED}
""")  # noqa: S608  constants
_BEGIN = text("""
INSERT INTO agent_file (tenant_id, user_id, name_in_store) VALUES (:tenant_id, :user_id, :name) RETURNING id
""")
_TOUCH = text(f"""
UPDATE agent_file SET name = :name,
    unused_since = CASE WHEN unused_since IS NOT NULL THEN clock_timestamp() END,
    uploaded_again_at = clock_timestamp(), used_at = clock_timestamp()
WHERE {_OWNED} AND sha256 = :sha256 RETURNING {_COLUMNS}
""")  # noqa: S608
_FINISH = text(f"""
UPDATE agent_file SET state = 'ready', sha256 = :sha256, media_type = :media_type, name = :name, bytes = :bytes,
    unused_since = clock_timestamp(), used_at = clock_timestamp()
WHERE id = :id AND state = 'pending' RETURNING {_COLUMNS}
""")  # noqa: S608
_FIND = _left_or_all(f"SELECT {_COLUMNS} FROM agent_file WHERE {_READY}")  # noqa: S608
_LIST = _left_or_all(f"""
SELECT {_COLUMNS} FROM agent_file WHERE {{owned}} AND id < :before ORDER BY id DESC LIMIT :limit
""")  # noqa: S608
_MARK = _left_or_all(f"""
UPDATE agent_file SET state = 'deleting', unused_since = NULL WHERE {_READY} RETURNING id, name_in_store
""")  # noqa: S608
_TAKE_BACK = text(f"""
UPDATE agent_file SET state = 'deleting', unused_since = NULL
WHERE {_OWNED} AND id = :id AND unused_since = :since RETURNING id, name_in_store
""")  # noqa: S608
_GIVE_UP = text("UPDATE agent_file SET state = 'deleting' WHERE id = :id AND state = 'pending'")
_STATE = text("SELECT state FROM agent_file WHERE id = :id")
_FORGET = text("DELETE FROM agent_file WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'deleting'")
_EXPIRE_UNUSED = text("""
UPDATE agent_file SET state = 'deleting', unused_since = NULL WHERE id IN (
    SELECT id FROM agent_file
    WHERE unused_since < statement_timestamp() - :unused_seconds * interval '1 second' AND state = 'ready'
    ORDER BY unused_since LIMIT :batch FOR UPDATE SKIP LOCKED)
""")
_EXPIRE_PENDING = text("""
UPDATE agent_file SET state = 'deleting' WHERE id IN (
    SELECT id FROM agent_file WHERE state <> 'ready' AND state = 'pending'
        AND created_at < statement_timestamp() - :pending_seconds * interval '1 second'
    ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")
_UNNAMED = text("""
SELECT count(*) AS looked_at, max(s.id) AS last, array_agg(s.id) FILTER (
    WHERE s.state = 'ready' AND s.unused_since IS NULL
        AND NOT EXISTS (SELECT FROM agent_file_use AS u WHERE u.file_id = s.id)) AS found
FROM (SELECT id, state, unused_since FROM agent_file WHERE id > :after ORDER BY id LIMIT :step) AS s
""")
_HOLD_UNNAMED = text("""
SELECT id FROM agent_file WHERE id = ANY(CAST(:rows AS bigint[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")
_NOTE_UNNAMED = text("""
UPDATE agent_file AS f SET unused_since = clock_timestamp()
WHERE f.id = ANY(CAST(:rows AS bigint[])) AND f.state = 'ready' AND f.unused_since IS NULL
    AND NOT EXISTS (SELECT FROM agent_file_use AS u WHERE u.file_id = f.id)
""")
_LEAVING = text("""
SELECT id, name_in_store FROM agent_file WHERE state <> 'ready' AND state = 'deleting' AND id > :after
ORDER BY id LIMIT :batch
""")
_HOLD = _left_or_all(
    f"SELECT {_COLUMNS} FROM agent_file WHERE {_READY} ORDER BY id FOR NO KEY UPDATE"  # noqa: S608
)
_IN_USE = text("""
UPDATE agent_file SET unused_since = NULL, uploaded_again_at = NULL, used_at = clock_timestamp()
WHERE id = ANY(CAST(:rows AS bigint[]))
""")
_USE = text("""
INSERT INTO agent_file_use (session_id, file_id) SELECT :session_id, unnest(CAST(:rows AS bigint[]))
ON CONFLICT DO NOTHING
""")
_HOLD_OF_THREAD = text("""
SELECT f.id FROM agent_file AS f JOIN agent_file_use AS u ON u.file_id = f.id WHERE u.session_id = :session_id
ORDER BY f.id FOR NO KEY UPDATE OF f
""")
_MARK_UNNAMED = text("""
UPDATE agent_file AS f SET unused_since = f.uploaded_again_at,
    state = CASE WHEN f.uploaded_again_at IS NULL THEN 'deleting' ELSE 'ready' END
WHERE f.id = ANY(CAST(:rows AS bigint[])) AND f.state = 'ready'
    AND NOT EXISTS (SELECT FROM agent_file_use AS u WHERE u.file_id = f.id)
RETURNING f.id, f.name_in_store, f.state
""")
