"""Retention: deletes what is old and that nothing needs any more. History keeps every message.

Rules:

1. The events of a thread go, oldest runs first, ``event_retention_days`` after their runs ended. In a log that is
   partitioned, nobody reads them from then on, and their rows go with the part (``log_parts.py``).
2. ``run_retention_days`` after its end, a run forgets what it was asked (its messages are in the history), and the
   bodies of the questions that it asked. Of the agent's states in a thread, the newest of that age stays, and all that
   are younger: the next run needs the newest state, and a run that regenerates a younger message needs the state
   before it. To regenerate an older message, the agent reads the history's texts. What only the deleted states were
   made of goes with them. States with a time of their own are left to ``state_retention.py``.
3. The daily budgets of users go after ``budget_retention_days``.
4. Each step is bounded, however large the tables are: it looks at so many threads, and deletes so many rows. What a step
   does not reach comes in the next one, also if the worker dies in between.
5. Kept as long as their thread: the rows of runs (a repeated request finds its run), messages, and the newest state
   unless it has a time of its own. What calls cost has one, too (``ledger/ledger_retention.py``).
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.log_parts import is_parted
from core.agentscope.events.newest_state import newest_state
from core.agentscope.events.status_sql import status_text
from core.agentscope.events.thread_row import try_lock_thread

PRUNE_ROWS = 5000
STEP_ROWS = 50_000
"""Events that one step deletes, at most by a batch more: the repairs of the same worker wait meanwhile."""
WINDOW_THREADS = 1000
"""Threads with events that one step looks at."""

_WINDOW = text("""
SELECT max(id) AS upto, count(*) AS threads FROM (
    SELECT id FROM agent_chat_session WHERE pruned_ordinal < last_ordinal AND id > :after ORDER BY id LIMIT :threads
) AS next
""")

# A thread's runs end in the order of their ordinals: if the oldest one is young, no other is read.
_PRUNABLE = text("""
SELECT s.id AS session_id, newest.ordinal
FROM agent_chat_session AS s CROSS JOIN LATERAL (
    SELECT ended_at FROM agent_run WHERE session_id = s.id AND ordinal > s.pruned_ordinal ORDER BY ordinal LIMIT 1
) AS oldest CROSS JOIN LATERAL (
    SELECT ordinal FROM agent_run WHERE session_id = s.id AND ordinal > s.pruned_ordinal
        AND ended_at < statement_timestamp() - :days * interval '1 day'
    ORDER BY ordinal DESC LIMIT 1
) AS newest
WHERE s.pruned_ordinal < s.last_ordinal AND s.id > :after AND s.id <= :upto
    AND oldest.ended_at < statement_timestamp() - :days * interval '1 day'
ORDER BY s.id LIMIT :batch
""")

# Deletions that were begun, as rows of agent_chore. Their threads are not found by what they still have.
_BEGIN = text("""
INSERT INTO agent_chore (name, next_at)
SELECT format('prune %s %s', CAST(:session_id AS bigint), CAST(:ordinal AS integer)), clock_timestamp()
ON CONFLICT DO NOTHING
""")

_BEGUN = text("""
SELECT name, CAST(split_part(name, ' ', 2) AS bigint) AS session_id, CAST(split_part(name, ' ', 3) AS integer) AS ordinal
FROM agent_chore WHERE name LIKE 'prune % %' ORDER BY next_at, name LIMIT :batch
""")

_DONE = text("DELETE FROM agent_chore WHERE name = :name")

_MARK_PRUNED = text("""
UPDATE agent_chat_session SET pruned_ordinal = greatest(pruned_ordinal, :ordinal) WHERE id = :session_id
""")

# By their keys: rows of two parts can be in the same place (ctid), and a log of parts refuses that.
_PRUNE = text("""
DELETE FROM agent_run_event WHERE session_id = :session_id AND ordinal <= :ordinal AND (ordinal, seq) <= (
    SELECT ordinal, seq FROM (
        SELECT ordinal, seq FROM agent_run_event WHERE session_id = :session_id AND ordinal <= :ordinal
        ORDER BY ordinal, seq LIMIT :rows
    ) AS first ORDER BY ordinal DESC, seq DESC LIMIT 1)
""")

_FORGET = """
WITH old AS (
    SELECT id, session_id, ordinal FROM agent_run
    WHERE input <> '{}' AND ended_at < statement_timestamp() - :days * interval '1 day'
    ORDER BY ended_at LIMIT :rows FOR NO KEY UPDATE SKIP LOCKED
), forgotten AS (
    UPDATE agent_run AS r SET input = '{}' FROM old WHERE r.id = old.id
), questions AS (
    UPDATE agent_interrupt AS i SET
        message = '', arguments = CASE WHEN i.arguments IS NOT NULL THEN '' END, response_schema = '{}', answer = NULL,
        details = NULL
    FROM old WHERE i.run_pk = old.id AND i.resolved_at IS NOT NULL
        -- A run that brings the answer and has not ended still reads it.
        AND NOT EXISTS (SELECT 1 FROM agent_run AS r WHERE r.id = i.resolved_by_run_pk AND r.ended_at IS NULL)
)"""
_FORGET_ASKED = text(f"""{_FORGET}
SELECT (SELECT count(*) FROM old) AS forgotten, ARRAY[]::bigint[] AS thinner
""")  # noqa: S608  the part is a constant
_FORGET_RUNS = text(f"""{_FORGET}, kept AS (
    SELECT reached.session_id, newest.ordinal
    FROM (SELECT session_id, max(ordinal) AS ordinal FROM old GROUP BY session_id) AS reached
        CROSS JOIN LATERAL ({newest_state("reached.session_id", only="c.ordinal <= reached.ordinal")}) AS newest
), whole_states AS (
    DELETE FROM agent_checkpoint AS c USING kept WHERE c.session_id = kept.session_id AND c.ordinal < kept.ordinal
), states AS (
    DELETE FROM agent_state AS c USING kept WHERE c.session_id = kept.session_id AND c.ordinal < kept.ordinal
    RETURNING c.session_id
)
SELECT (SELECT count(*) FROM old) AS forgotten, ARRAY(SELECT DISTINCT session_id FROM states) AS thinner
""")  # noqa: S608  the part is a constant

# Under the thread's lock: a run names parts that it found, and does not write them again. A thread that is busy is
# looked at when the runs that make it busy are old themselves.
_IS_LIVE = status_text("""
SELECT EXISTS (SELECT FROM agent_run WHERE session_id = :session_id AND status IN {live})
""")

_SWEEP_PARTS = text("""
WITH RECURSIVE named AS (
    SELECT substring(c.roots FROM place FOR 16) AS digest
    FROM agent_state AS c, generate_series(1, length(c.roots), 16) AS place WHERE c.session_id = :session_id
    UNION
    SELECT substring(p.children FROM place FOR 16) FROM named AS n
        JOIN agent_state_part AS p ON p.session_id = :session_id AND p.digest = n.digest,
        generate_series(1, length(p.children), 16) AS place
)
DELETE FROM agent_state_part AS p
WHERE p.session_id = :session_id AND NOT EXISTS (SELECT FROM named AS n WHERE n.digest = p.digest)
""")

_DROP_BUDGETS = text("""
DELETE FROM user_budget WHERE ctid = ANY(ARRAY(
    SELECT b.ctid FROM user_budget AS b
    WHERE b.day < (statement_timestamp() AT TIME ZONE 'UTC')::date - CAST(:days AS integer)
        AND b.reserved_tokens = 0 AND b.reserved_cost = 0
    LIMIT :rows FOR UPDATE SKIP LOCKED))
""")


class EventRetention:
    """Applies rule 1, step by step: one sweep after the other over the threads that have events.

    A sweep is the worker's own; the deletions that were begun belong to all workers.
    """

    def __init__(self, engine: AsyncEngine, *, days: int) -> None:
        self._engine = engine
        self._days = days
        self._after = 0
        """Id of the last thread that this sweep has looked at."""

    async def step(self, *, batch: int) -> tuple[int, bool]:
        """Go on with what was begun, then with the sweep.

        Args:
            batch: Of how many threads the events are deleted at most.

        Returns:
            How many events were deleted, and whether the sweep has come to its end and left nothing.
        """
        deleted, is_done = await self._delete(batch)
        if not is_done:
            return deleted, False
        is_swept = await self._begin(batch)
        more, is_done = await self._delete(batch)
        return deleted + more, is_swept and is_done

    async def _begin(self, batch: int) -> bool:
        """Mark the next threads; returns whether the sweep has come to its end."""
        async with self._engine.connect() as connection:
            place = {"after": self._after, "threads": WINDOW_THREADS}
            window = (await connection.execute(_WINDOW, place)).one()
            found = {"after": self._after, "upto": window.upto, "days": self._days, "batch": batch}
            rows = (await connection.execute(_PRUNABLE, found)).all() if window.threads else []
            parted = await is_parted(connection)
        for row in rows:
            async with self._engine.begin() as connection:
                # Marked first: a reader with an older cursor gets an error, and never sees a partial log.
                values = {"session_id": row.session_id, "ordinal": row.ordinal}
                await connection.execute(_MARK_PRUNED, values)
                # Its rows go with their part.
                if not parted:
                    await connection.execute(_BEGIN, values)
        if len(rows) == batch:
            self._after = rows[-1].session_id
            return False
        is_last = window.threads < WINDOW_THREADS
        self._after = 0 if is_last else window.upto
        return is_last

    async def _delete(self, batch: int) -> tuple[int, bool]:
        """Delete what is marked, oldest first; returns how many events, and whether nothing is left."""
        async with self._engine.connect() as connection:
            begun = (await connection.execute(_BEGUN, {"batch": batch})).all()
        deleted = 0
        for chore in begun:
            while True:
                if deleted >= STEP_ROWS:
                    return deleted, False
                count = await _delete_batch(self._engine, chore.session_id, chore.ordinal)
                deleted += count
                if count < PRUNE_ROWS:
                    break
            async with self._engine.begin() as connection:
                await connection.execute(_DONE, {"name": chore.name})
        return deleted, len(begun) < batch


async def prune_events(engine: AsyncEngine, session_id: int, ordinal: int) -> int:
    """Delete the events of a thread's runs up to ``ordinal``, in batches; returns how many there were.

    Every one of these runs must have ended. For a thread that is deleted: who dies in between deletes it again.
    """
    async with engine.begin() as connection:
        await connection.execute(_MARK_PRUNED, {"session_id": session_id, "ordinal": ordinal})
    deleted = 0
    while True:
        count = await _delete_batch(engine, session_id, ordinal)
        deleted += count
        if count < PRUNE_ROWS:
            return deleted


async def _delete_batch(engine: AsyncEngine, session_id: int, ordinal: int) -> int:
    async with engine.begin() as connection:
        result = await connection.execute(
            _PRUNE, {"session_id": session_id, "ordinal": ordinal, "rows": PRUNE_ROWS}
        )
    return result.rowcount


async def forget_runs(engine: AsyncEngine, *, days: int, rows: int, states: bool = True) -> int:
    """Apply rule 2 to the runs that ended first; returns to how many, at most ``rows``.

    Args:
        engine: Of the process.
        days: How long ago they ended.
        rows: How many runs at most.
        states: Whether older states go with them. Otherwise they have a time of their own.
    """
    statement = _FORGET_RUNS if states else _FORGET_ASKED
    async with engine.begin() as connection:
        count, thinner = (await connection.execute(statement, {"days": days, "rows": rows})).one()
        for session_id in thinner:
            # Who waits for a lock here could wait for ever: the runs of the statement are locked already.
            if await try_lock_thread(connection, session_id) and not await is_live(connection, session_id):
                await sweep_parts(connection, session_id)
    return int(count)


async def is_live(connection: AsyncConnection, session_id: int) -> bool:
    """Say whether a run of a thread lives. The caller holds the thread's lock."""
    return bool(await connection.scalar(_IS_LIVE, {"session_id": session_id}))


async def sweep_parts(connection: AsyncConnection, session_id: int) -> None:
    """Delete the parts of states that no state names any more, in a thread without a live run that the caller has locked."""
    await connection.execute(_SWEEP_PARTS, {"session_id": session_id})


async def drop_budgets(engine: AsyncEngine, *, days: int, rows: int) -> int:
    """Apply rule 3; returns how many budgets were deleted, at most ``rows``."""
    async with engine.begin() as connection:
        return (await connection.execute(_DROP_BUDGETS, {"days": days, "rows": rows})).rowcount
