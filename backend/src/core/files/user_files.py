"""The rows of all files of one user, for an erasure. No bytes pass through here.

An upload that is under way has a row without a digest. It is marked like the others, so that it does not become a file;
but its bytes may still come, so the row stays until it has gone by itself, or until no upload can last as long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.files.catalogue import BATCH, StoredBytes
from core.identity import Principal

Noted = Callable[[AsyncConnection, int, int], Awaitable[None]]
"""Takes in how many rows of files were deleted, and how many of ``agent_file_use``, in their transaction."""
_LATE_SECONDS = 60
"""The last statement of an upload, after the time for its bytes."""


class UserFiles:
    """The rows of a user.

    Args:
        engine: Of the process.
        principal: Whose.
        upload_seconds: How long an upload may take.
    """

    def __init__(self, engine: AsyncEngine, principal: Principal, upload_seconds: float) -> None:
        self._engine = engine
        self._key = {"tenant_id": principal.tenant_id, "user_id": principal.user_id}
        self._upload_seconds = upload_seconds + _LATE_SECONDS

    async def mark(self) -> None:
        """Make every file absent, uploads that have begun too."""
        async with self._engine.begin() as connection:
            await connection.execute(_MARK, self._key)

    async def leaving(self) -> list[StoredBytes]:
        """Return some whose bytes can be removed."""
        values = {**self._key, "batch": BATCH, "upload_seconds": self._upload_seconds}
        async with self._engine.connect() as connection:
            rows = await connection.execute(_LEAVING, values)
            return [StoredBytes(row.id, row.name_in_store) for row in rows]

    async def forget(self, rows: Sequence[int], note: Noted) -> None:
        """Delete rows whose bytes are gone, and say how many they were."""
        async with self._engine.begin() as connection:
            uses = (await connection.execute(_FORGET_USES, {"ids": list(rows)})).rowcount
            files = (await connection.execute(_FORGET, {"ids": list(rows)})).rowcount
            await note(connection, files, uses)

    async def any_left(self) -> bool:
        """Say whether there is any row."""
        async with self._engine.connect() as connection:
            return bool(await connection.scalar(_ANY, self._key))


_OWNED = "tenant_id = :tenant_id AND user_id = :user_id"
_MARK = text(f"""
UPDATE agent_file SET state = 'deleting', unused_since = NULL WHERE {_OWNED} AND state <> 'deleting'
""")  # noqa: S608  constants
_LEAVING = text(f"""
SELECT id, name_in_store FROM agent_file WHERE {_OWNED} AND state = 'deleting' AND (
    sha256 IS NOT NULL OR created_at < clock_timestamp() - :upload_seconds * interval '1 second')
ORDER BY id LIMIT :batch
""")  # noqa: S608
_FORGET_USES = text("DELETE FROM agent_file_use WHERE file_id = ANY(CAST(:ids AS bigint[]))")
_FORGET = text("DELETE FROM agent_file WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'deleting'")
_ANY = text(f"SELECT EXISTS (SELECT FROM agent_file WHERE {_OWNED})")  # noqa: S608
