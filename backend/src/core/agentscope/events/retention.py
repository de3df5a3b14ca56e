"""Retention: deletes old events from the log, oldest runs first. History keeps every message."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

PRUNE_ROWS = 5000

_MARK_PRUNED = text("""
UPDATE agent_chat_session SET pruned_ordinal = greatest(pruned_ordinal, :ordinal) WHERE id = :session_id
""")

_PRUNE = text("""
DELETE FROM agent_run_event WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM agent_run_event WHERE session_id = :session_id AND ordinal <= :ordinal LIMIT :rows))
""")


async def prune_events(engine: AsyncEngine, session_id: int, ordinal: int) -> int:
    """Delete the events of a thread's runs up to ``ordinal``, in batches; returns how many there were.

    Every one of these runs must have ended.
    """
    async with engine.begin() as connection:
        # Marked first: a reader with an older cursor gets an error, and never sees a partial log.
        await connection.execute(_MARK_PRUNED, {"session_id": session_id, "ordinal": ordinal})
    deleted = 0
    while True:
        async with engine.begin() as connection:
            result = await connection.execute(
                _PRUNE, {"session_id": session_id, "ordinal": ordinal, "rows": PRUNE_ROWS}
            )
        deleted += result.rowcount
        if result.rowcount < PRUNE_ROWS:
            return deleted
