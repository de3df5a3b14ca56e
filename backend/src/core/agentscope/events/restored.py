"""What is done to a database that was restored from a backup, before a process uses it again. See docs/adr/0061.

Clients hold cursors of events that the backup does not have. The next runs of a thread would get the same ordinals, and
such a cursor would name an event of another run. So every thread counts on from the next multiple of ``RESTORE_STEP``:
no run that was lost has come that far. A run that was live in the backup has lost events, too, so it moves there as a
whole, with what it has shown. Afterwards a cursor names an event that its client has seen, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.status_sql import status_text
from core.agentscope.events.thread_row import lock_thread
from core.agentscope.schemas.cursor import RESTORE_STEP

BATCH_THREADS = 1000

# A thread whose events are all gone stays one: retention does not look at it again.
_COUNT_ON = text("""
WITH batch AS (
    SELECT id FROM agent_chat_session WHERE id > :after AND last_ordinal > 0 ORDER BY id LIMIT :batch
), moved AS (
    UPDATE agent_chat_session AS s SET
        last_ordinal = (s.last_ordinal / :step + 1) * :step,
        pruned_ordinal = CASE WHEN s.pruned_ordinal = s.last_ordinal
            THEN (s.last_ordinal / :step + 1) * :step ELSE s.pruned_ordinal END
    FROM batch WHERE s.id = batch.id RETURNING s.id
)
SELECT count(*) AS threads, max(id) AS after FROM moved
""")

_LIVE = status_text("SELECT id, session_id FROM agent_run WHERE status IN {live} ORDER BY id")

_NEXT_PLACE = text("""
UPDATE agent_chat_session AS s SET last_ordinal = s.last_ordinal + 1 WHERE s.id = :session_id RETURNING s.last_ordinal
""")

_OF_RUN = (
    "UPDATE agent_run_event SET ordinal = :new WHERE session_id = :session_id AND ordinal = :old",
    "UPDATE agent_chat_message SET ordinal = :new WHERE session_id = :session_id AND ordinal = :old",
    "UPDATE agent_chat_message SET replaced_by_ordinal = :new WHERE session_id = :session_id AND replaced_by_ordinal = :old",
    "UPDATE agent_run SET replaced_by_ordinal = :new WHERE session_id = :session_id AND replaced_by_ordinal = :old",
    "UPDATE agent_checkpoint SET ordinal = :new WHERE session_id = :session_id AND ordinal = :old",
    "UPDATE agent_state SET ordinal = :new WHERE session_id = :session_id AND ordinal = :old",
    "UPDATE agent_state_part SET ordinal = :new WHERE session_id = :session_id AND ordinal = :old",
    "UPDATE agent_run SET ordinal = :new WHERE session_id = :session_id AND ordinal = :old",
)
"""Everywhere the place of a run in its thread stands."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done."""

    threads: int
    """How many count on from a new place."""
    live_runs: int
    """How many runs were live in the backup, and have a new place."""


async def count_on(engine: AsyncEngine) -> Restored:
    """Give every thread a new place to count on from. No process may use the database meanwhile.

    A thread at a time is never seen half done, and a second call counts on once more, which harms nothing: whoever was
    interrupted calls again.
    """
    threads, after = 0, 0
    while True:
        async with engine.begin() as connection:
            values = {"after": after, "batch": BATCH_THREADS, "step": RESTORE_STEP}
            moved = (await connection.execute(_COUNT_ON, values)).one()
        if not moved.threads:
            break
        threads, after = threads + moved.threads, moved.after
    async with engine.connect() as connection:
        live = (await connection.execute(_LIVE)).all()
    for run in live:
        async with engine.begin() as connection:
            await _move(connection, run.id, run.session_id)
    return Restored(threads, len(live))


async def _move(connection: AsyncConnection, run_pk: int, session_id: int) -> None:
    await lock_thread(connection, session_id)
    old = await connection.scalar(text("SELECT ordinal FROM agent_run WHERE id = :id"), {"id": run_pk})
    new = await connection.scalar(_NEXT_PLACE, {"session_id": session_id})
    for statement in _OF_RUN:
        await connection.execute(text(statement), {"session_id": session_id, "old": old, "new": new})
