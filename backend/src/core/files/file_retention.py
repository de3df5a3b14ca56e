"""Files that are kept for a time, and what is known of deleted ones: the rules are in ``catalogue``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def expire_old(connection: AsyncConnection, *, days: int, batch: int) -> int:
    """Mark files that nobody has used for so many days, whoever names them; returns how many."""
    rows = (await connection.execute(_EXPIRE_OLD, {"batch": batch, "days": days})).scalars().all()
    await note_gone(connection, rows)
    return len(rows)


async def note_gone(connection: AsyncConnection, rows: Sequence[int]) -> None:
    """Note which threads name files that were just marked as deleted.

    The caller holds the files' locks, so a thread that names one cannot go meanwhile: it locks its files first.
    """
    if rows:
        # A statement of its own: of a thread that went before the locks were given, it sees nothing.
        await connection.execute(_NOTE_GONE, {"rows": list(rows)})


async def was_deleted(connection: AsyncConnection, values: Mapping[str, Any]) -> bool:
    """Say whether a message of the user names a file that was deleted.

    Args:
        connection: An open one.
        values: The user, ``ids`` with the digest, and ``agents`` with ``default_agent`` if the credential is limited.
    """
    return bool(await connection.scalar(_WAS_DELETED["agents" in values], values))


_EXPIRE_OLD = text("""
UPDATE agent_file SET state = 'deleting', unused_since = NULL WHERE id IN (
    SELECT id FROM agent_file
    WHERE used_at < statement_timestamp() - CAST(:days AS integer) * interval '1 day' AND state = 'ready'
    ORDER BY used_at LIMIT :batch FOR UPDATE SKIP LOCKED)
RETURNING id
""")
_NOTE_GONE = text("""
INSERT INTO agent_file_gone (session_id, sha256)
SELECT u.session_id, f.sha256 FROM agent_file_use AS u JOIN agent_file AS f ON f.id = u.file_id
WHERE u.file_id = ANY(CAST(:rows AS bigint[])) ON CONFLICT DO NOTHING
""")
_OF_AGENTS = " AND coalesce(s.agent_id, CAST(:default_agent AS text)) = ANY (CAST(:agents AS text[]))"
_WAS_DELETED = {
    limited: text(f"""
    SELECT EXISTS (
        SELECT FROM agent_file_gone AS g JOIN agent_chat_session AS s ON s.id = g.session_id
        WHERE g.sha256 = ANY(CAST(:ids AS bytea[])) AND s.tenant_id = :tenant_id AND s.user_id = :user_id{
        _OF_AGENTS if limited else ""
    })
    """)  # noqa: S608  constants
    for limited in (False, True)
}
