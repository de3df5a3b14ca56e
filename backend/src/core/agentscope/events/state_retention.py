"""Retention of the agent's states, apart from that of the runs which made them (``retention.py``).

Rules:

1. A state that a newer one of the same age replaced goes after its own time, if one is set.
2. The newest state of a thread goes after another time, if one is set: never while a run of the thread is queued, waiting
   or running, and never while a question is open. An open question ends by its own time first. From then on the agent
   reads the history instead, as in a thread that was imported; a result that a client's tool still owes is not waited for.
3. Each thread is looked at again under its lock: a request that comes meanwhile finds all that it needs, or nothing.

See docs/adr/0073.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.newest_state import newest_state
from core.agentscope.events.retention import is_live, sweep_parts
from core.agentscope.events.status_sql import status_text
from core.agentscope.events.thread_row import try_lock_thread

_PAST = "r.ended_at < statement_timestamp() - CAST(:days AS integer) * interval '1 day'"
_LOOKED = """
looked AS (
    SELECT id FROM agent_chat_session WHERE id > :after ORDER BY id LIMIT :rows
), place AS (
    SELECT count(*) AS looked_at, max(id) AS last FROM looked
)
"""


@dataclass(frozen=True, slots=True)
class Looked:
    """A window of threads."""

    count: int
    last: int
    """Row id of its last thread."""
    found: Sequence[int]
    """Row ids of those with something past its time."""


async def find_replaced(engine: AsyncEngine, *, days: int, after: int, rows: int) -> Looked:
    """Return the next threads with states that rule 1 takes."""
    return await _look(engine, _REPLACED, days, after, rows)


async def find_old(engine: AsyncEngine, *, days: int, after: int, rows: int) -> Looked:
    """Return the next threads whose newest state is so old that rule 2 may take it."""
    return await _look(engine, _OLD, days, after, rows)


async def drop_replaced(engine: AsyncEngine, session_id: int, *, days: int) -> int:
    """Apply rule 1 to a thread; returns how many states went. A thread that is busy is left for later."""
    values = {"session_id": session_id, "days": days}
    async with engine.begin() as connection:
        if not await try_lock_thread(connection, session_id) or await is_live(connection, session_id):
            return 0
        dropped = 0
        for statement in _DROP_REPLACED:
            dropped += (await connection.execute(statement, values)).rowcount
        await sweep_parts(connection, session_id)
    return dropped


async def drop_old(engine: AsyncEngine, session_id: int, *, days: int) -> int:
    """Apply rule 2 to a thread; returns how many states went: none if somebody needs them, or changes the thread now."""
    values = {"session_id": session_id, "days": days}
    async with engine.begin() as connection:
        if not await try_lock_thread(connection, session_id) or not await connection.scalar(_IS_OVER, values):
            return 0
        dropped = 0
        for statement in _DROP_ALL:
            dropped += (await connection.execute(statement, values)).rowcount
        await connection.execute(_DROP_PARTS, values)
    return dropped


async def _look(engine: AsyncEngine, statement: TextClause, days: int, after: int, rows: int) -> Looked:
    async with engine.connect() as connection:
        found = (await connection.execute(statement, {"days": days, "after": after, "rows": rows})).all()
    # One row at least, also if the window has nothing past its time: it says where to go on.
    return Looked(found[0].looked_at, found[0].last or 0, [row.id for row in found if row.id is not None])


_NEWEST_OLD = newest_state("l.id", only=_PAST)
_REPLACED = text(f"""
WITH {_LOOKED}
SELECT p.looked_at, p.last, l.id FROM place AS p LEFT JOIN (
    SELECT l.id FROM looked AS l CROSS JOIN LATERAL ({_NEWEST_OLD}) AS newest
    WHERE EXISTS (SELECT FROM agent_state AS c WHERE c.session_id = l.id AND c.ordinal < newest.ordinal)
        OR EXISTS (SELECT FROM agent_checkpoint AS c WHERE c.session_id = l.id AND c.ordinal < newest.ordinal)
) AS l ON true ORDER BY l.id
""")  # noqa: S608  the parts are constants
_OLD = text(f"""
WITH {_LOOKED}
SELECT p.looked_at, p.last, l.id FROM place AS p LEFT JOIN (
    SELECT l.id FROM looked AS l CROSS JOIN LATERAL ({newest_state("l.id", ["r.ended_at"])}) AS r WHERE {_PAST}
) AS l ON true ORDER BY l.id
""")  # noqa: S608
_DROP_REPLACED = tuple(
    text(f"""
    DELETE FROM {table} AS c WHERE c.session_id = :session_id AND c.ordinal < (
        SELECT newest.ordinal FROM ({newest_state(":session_id", only=_PAST)}) AS newest)
    """)  # noqa: S608
    for table in ("agent_state", "agent_checkpoint")
)
_IS_OVER = status_text(f"""
SELECT NOT EXISTS (SELECT FROM agent_run WHERE session_id = :session_id AND status IN {{unended}})
    AND NOT EXISTS (SELECT FROM agent_interrupt WHERE session_id = :session_id AND status = {{open_interrupt}})
    AND EXISTS (SELECT FROM ({newest_state(":session_id", ["r.ended_at"])}) AS r WHERE {_PAST})
""")  # noqa: S608
_DROP_ALL = tuple(
    text(f"DELETE FROM {table} WHERE session_id = :session_id")  # noqa: S608
    for table in ("agent_state", "agent_checkpoint")
)
_DROP_PARTS = text("DELETE FROM agent_state_part WHERE session_id = :session_id")
