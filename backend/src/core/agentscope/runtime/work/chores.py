"""Turns: of all workers, one does a periodic chore in a period. The cost does not grow with the number of workers.

A turn is a time in Postgres, moved on by whoever takes the turn. Nobody holds anything meanwhile: if the worker dies,
another one takes the next turn.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from core.direct_sql import fetch

# The first turn ever has no row yet.
_TAKE_TURN = """
WITH taken AS (
    UPDATE agent_chore SET next_at = clock_timestamp() + $2::float8 * interval '1 second'
    WHERE name = $1::text AND next_at <= clock_timestamp() RETURNING name
), first AS (
    INSERT INTO agent_chore (name, next_at) SELECT $1::text, clock_timestamp() + $2::float8 * interval '1 second'
    WHERE NOT EXISTS (SELECT 1 FROM agent_chore WHERE name = $1::text)
    ON CONFLICT DO NOTHING RETURNING name
)
SELECT name FROM taken UNION ALL SELECT name FROM first
"""


async def take_turn(engine: AsyncEngine, name: str, seconds: float) -> bool:
    """Take the turn of a chore; False when it is not due, or another worker has just taken it.

    Args:
        engine: Of the database that all workers share.
        name: Of the chore.
        seconds: The period: the next turn can be taken after this time.
    """
    return bool(await fetch(engine, _TAKE_TURN, name, seconds))
