"""Removes the rows of a user, table by table, in batches that are counted where they are removed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.identity import Principal
from core.user_data.erasures import note
from core.user_data.tables import BOOKED, CHORES, LOG, OF_THREAD, OF_USER, all_tables, left_over

BATCH = 2000
"""Rows of a statement: it ends long before its time limit."""


class RowEraser:
    """The rows of one user.

    Args:
        engine: Of the process.
        erasure_id: Counts what is removed.
        principal: Whose.
    """

    def __init__(self, engine: AsyncEngine, erasure_id: str, principal: Principal) -> None:
        self._engine = engine
        self._erasure_id = erasure_id
        self._key = {"tenant_id": principal.tenant_id, "user_id": principal.user_id}

    async def next_thread(self, after: int = 0) -> Any:
        """Return a thread of the user (``id``, ``thread_id``) behind a row id; ``None`` if there is none."""
        async with self._engine.connect() as connection:
            return (await connection.execute(_THREAD, {**self._key, "after": after})).one_or_none()

    async def log_of(self, session_id: int, upto: int) -> None:
        """Delete the log of a thread, whose runs have all ended. See ``ThreadRemoval``."""
        del upto  # nothing is kept
        while True:
            async with self._engine.begin() as connection:
                values = {"session_id": session_id, "batch": BATCH}
                count = (await connection.execute(_LOG, values)).rowcount
                await note(connection, self._erasure_id, {LOG: count})
            if count < BATCH:
                return

    async def rows_of(self, connection: AsyncConnection, session_id: int) -> None:
        """Delete what is left of a thread, in a transaction that has its lock and those of its runs."""
        counts: dict[str, int] = {}
        for table, statement in _OF_THREAD.items():
            counts[table] = (await connection.execute(statement, {"session_id": session_id})).rowcount
        await note(connection, self._erasure_id, counts)

    async def delete(self, table: str) -> None:
        """Delete the user's rows of a table of :data:`OF_USER`, or of connections."""
        await self._in_batches(_OF_USER[table], table)

    async def book_for_nobody(self, table: str) -> None:
        """Take the user out of the rows of a table of :data:`BOOKED`."""
        await self._in_batches(_BOOKED[table], f"{table} (kept)")

    async def stop_counting(self) -> None:
        """Delete how much the user has stored; the tenant's sum stays right."""
        async with self._engine.begin() as connection:
            # A worker that adds changes up holds their locks first, and those of users and tenants after them.
            changes = (await connection.execute(_CHANGES, self._key)).rowcount
            users = (await connection.execute(_STORED, self._key)).scalar_one()
            await note(
                connection, self._erasure_id, {"agent_stored_change": changes, "agent_stored_user": users}
            )

    async def forget_author(self) -> None:
        """Take the user's name out of keys that the user made for others."""
        async with self._engine.begin() as connection:
            values = {**self._key, "author": f"user:{self._key['user_id']}"}
            count = (await connection.execute(_AUTHOR, values)).rowcount
            await note(connection, self._erasure_id, {"agent_api_key (author)": count})

    async def left(self) -> list[str]:
        """Return the tables that still have rows of the user."""
        async with self._engine.connect() as connection:
            found = (await connection.execute(_LEFT, self._key)).one()
            return [table for table, is_left in found._mapping.items() if is_left]

    async def _in_batches(self, statement: TextClause, counted_as: str) -> None:
        while True:
            async with self._engine.begin() as connection:
                values = {**self._key, "batch": BATCH}
                count = (await connection.execute(statement, values)).rowcount
                await note(connection, self._erasure_id, {counted_as: count})
            if count < BATCH:
                return


_OWNED = "tenant_id = :tenant_id AND user_id = :user_id"
_THREAD = text(f"""
SELECT id, thread_id FROM agent_chat_session WHERE {_OWNED} AND id > :after ORDER BY id LIMIT 1
""")  # noqa: S608  constants
# By the key, not by the place of a row: places of partitions are not unique.
_LOG = text(f"""
DELETE FROM {LOG} WHERE session_id = :session_id AND (ordinal, seq) IN (
    SELECT ordinal, seq FROM {LOG} WHERE session_id = :session_id ORDER BY ordinal, seq LIMIT :batch)
""")  # noqa: S608
_OF_THREAD = {
    CHORES: text(f"DELETE FROM {CHORES} WHERE name LIKE format('prune %s %%', CAST(:session_id AS bigint))"),  # noqa: S608
    LOG: text(f"DELETE FROM {LOG} WHERE session_id = :session_id"),  # noqa: S608
    **{table: text(f"DELETE FROM {table} WHERE {which}") for table, which in OF_THREAD.items()},  # noqa: S608
}
_OF_USER = {
    table: text(f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {_OWNED} LIMIT :batch FOR UPDATE))
        """)  # noqa: S608
    for table in (*OF_USER, "agent_connection")
}
_BOOKED = {
    table: text(f"""
        UPDATE {table} SET {booked.taken} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE {_OWNED} LIMIT :batch FOR NO KEY UPDATE))
        """)  # noqa: S608
    for table, booked in BOOKED.items()
}
_CHANGES = text(f"DELETE FROM agent_stored_change WHERE {_OWNED}")  # noqa: S608
_STORED = text(f"""
WITH gone AS (
    DELETE FROM agent_stored_user WHERE {_OWNED} RETURNING bytes
), less AS (
    UPDATE agent_stored_tenant AS t SET bytes = t.bytes - gone.bytes FROM gone WHERE t.tenant_id = :tenant_id
)
SELECT count(*) FROM gone
""")  # noqa: S608
_AUTHOR = text("""
UPDATE agent_api_key SET
    created_by = CASE created_by WHEN :author THEN 'erased' ELSE created_by END,
    rotated_by = CASE rotated_by WHEN :author THEN 'erased' ELSE rotated_by END,
    revoked_by = CASE revoked_by WHEN :author THEN 'erased' ELSE revoked_by END
WHERE tenant_id = :tenant_id AND :author IN (created_by, rotated_by, revoked_by)
""")
_LOOKS = ", ".join(
    f"EXISTS (SELECT FROM {table} WHERE {_OWNED}) AS {table}"
    for table in sorted({table for table in all_tables() if left_over(table)})
)
_LEFT = text(f"SELECT {_LOOKS}")
