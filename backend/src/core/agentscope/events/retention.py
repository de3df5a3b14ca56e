"""Retention: deletes what is old and that nothing needs any more. History keeps every message, reports every call.

Rules:

1. The events of a thread go, oldest runs first, ``event_retention_days`` after their runs ended.
2. ``run_retention_days`` after its end, a run forgets what it was asked (its messages are in the history), and the
   bodies of the questions that it asked. Of the agent's states in a thread, the newest of that age stays, and all that
   are younger: the next run needs the newest state, and a run that regenerates a younger message needs the state
   before it. To regenerate an older message, the agent reads the history's texts.
3. The daily budgets of users go after ``budget_retention_days``.
4. Kept as long as their thread: the rows of runs (a repeated request finds its run), messages, the newest state. Kept
   for ever: what model calls and transcriptions cost.
"""

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

_FORGET_RUNS = text("""
WITH old AS (
    SELECT id, session_id, ordinal FROM agent_run
    WHERE input <> '{}' AND ended_at < statement_timestamp() - :days * interval '1 day'
    ORDER BY ended_at LIMIT :rows FOR NO KEY UPDATE SKIP LOCKED
), forgotten AS (
    UPDATE agent_run AS r SET input = '{}' FROM old WHERE r.id = old.id
), questions AS (
    UPDATE agent_interrupt AS i SET
        message = '', arguments = CASE WHEN i.arguments IS NOT NULL THEN '' END, response_schema = '{}', answer = NULL
    FROM old WHERE i.run_pk = old.id AND i.resolved_at IS NOT NULL
        -- A run that brings the answer and has not ended still reads it.
        AND NOT EXISTS (SELECT 1 FROM agent_run AS r WHERE r.id = i.resolved_by_run_pk AND r.ended_at IS NULL)
), kept AS (
    SELECT reached.session_id, (
        SELECT c.ordinal FROM agent_checkpoint AS c JOIN agent_run AS r ON r.id = c.run_pk
        WHERE c.session_id = reached.session_id AND c.ordinal <= reached.ordinal AND r.replaced_by_ordinal IS NULL
        ORDER BY c.ordinal DESC LIMIT 1) AS ordinal
    FROM (SELECT session_id, max(ordinal) AS ordinal FROM old GROUP BY session_id) AS reached
), states AS (
    DELETE FROM agent_checkpoint AS c USING kept WHERE c.session_id = kept.session_id AND c.ordinal < kept.ordinal
)
SELECT count(*) FROM old
""")

_DROP_BUDGETS = text("""
DELETE FROM user_budget WHERE ctid = ANY(ARRAY(
    SELECT b.ctid FROM user_budget AS b
    WHERE b.day < (statement_timestamp() AT TIME ZONE 'UTC')::date - CAST(:days AS integer)
        AND b.reserved_tokens = 0 AND b.reserved_cost = 0
    LIMIT :rows FOR UPDATE SKIP LOCKED))
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


async def forget_runs(engine: AsyncEngine, *, days: int, rows: int) -> int:
    """Apply rule 2 to the runs that ended first; returns to how many, at most ``rows``."""
    async with engine.begin() as connection:
        count: int = (await connection.execute(_FORGET_RUNS, {"days": days, "rows": rows})).scalar_one()
    return count


async def drop_budgets(engine: AsyncEngine, *, days: int, rows: int) -> int:
    """Apply rule 3; returns how many budgets were deleted, at most ``rows``."""
    async with engine.begin() as connection:
        return (await connection.execute(_DROP_BUDGETS, {"days": days, "rows": rows})).rowcount
