"""What is done to a database that was restored from a backup, before a process uses it again. See docs/adr/0061.

An epoch begins (``events/epoch.py``), every thread counts on from its floor, and the runs that were live in the backup
move there as a whole, with what they have shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.epoch import floor_of, move
from core.agentscope.events.owned_run import OwnedRun
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
        last_ordinal = :floor,
        pruned_ordinal = CASE WHEN s.pruned_ordinal = s.last_ordinal THEN :floor ELSE s.pruned_ordinal END
    FROM batch WHERE s.id = batch.id RETURNING s.id
)
SELECT count(*) AS threads, max(id) AS after FROM moved
""")

# After ``agent_floor``, which has seen to it that there is a row.
_NEW_EPOCH = text("""
UPDATE agent_epoch SET epoch = epoch + 1, since = clock_timestamp() WHERE id = 1 RETURNING epoch
""")

_LIVE = status_text(
    "SELECT id, session_id, ordinal, attempt, last_seq FROM agent_run WHERE status IN {live} ORDER BY id"
)


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
    async with engine.begin() as connection:
        await floor_of(connection)
        floor = (await connection.execute(_NEW_EPOCH)).scalar_one() * RESTORE_STEP
    threads, after = 0, 0
    while True:
        async with engine.begin() as connection:
            values = {"after": after, "batch": BATCH_THREADS, "floor": floor}
            moved = (await connection.execute(_COUNT_ON, values)).one()
        if not moved.threads:
            break
        threads, after = threads + moved.threads, moved.after
    async with engine.connect() as connection:
        live = (await connection.execute(_LIVE)).all()
    for run in live:
        async with engine.begin() as connection:
            await lock_thread(connection, run.session_id)
            await move(connection, OwnedRun(run.id, run.session_id, run.ordinal, run.attempt, run.last_seq))
    return Restored(threads, len(live))
