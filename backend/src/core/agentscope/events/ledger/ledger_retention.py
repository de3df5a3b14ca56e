"""Retention of the usage ledger: what model calls and transcriptions cost. Reports count what is still there.

The sums of a run are in its own row, and stay. Budgets of users have rows of their own, too.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

LEDGERS = ("agent_model_call", "agent_transcription")


async def drop_usage(engine: AsyncEngine, ledger: str, *, days: int, rows: int) -> int:
    """Delete the lines of a ledger that are older than so many days, oldest first; returns how many.

    Lines are written in the order of their time, so the first window without an old one ends the search. Only an import
    writes lines with an older time: they go when what was written before them does.

    Args:
        engine: Of the process.
        ledger: One of :data:`LEDGERS`.
        days: How long lines are kept.
        rows: How many a statement looks at.
    """
    after, dropped = 0, 0
    while True:
        async with engine.begin() as connection:
            place = {"after": after, "rows": rows}
            window = (await connection.execute(_WINDOW[ledger], place)).one()
            if not window.lines:
                return dropped
            values = {"after": after, "upto": window.upto, "days": days}
            gone = (await connection.execute(_DROP[ledger], values)).rowcount
        dropped += gone
        if not gone or window.lines < rows:
            return dropped
        after = window.upto


_WINDOW = {
    ledger: text(f"""
    SELECT count(*) AS lines, max(id) AS upto FROM (
        SELECT id FROM {ledger} WHERE id > :after ORDER BY id LIMIT :rows
    ) AS next
    """)  # noqa: S608  constants
    for ledger in LEDGERS
}
_DROP = {
    ledger: text(f"""
    DELETE FROM {ledger} WHERE id > :after AND id <= :upto
        AND created_at < statement_timestamp() - CAST(:days AS integer) * interval '1 day'
    """)  # noqa: S608  constants
    for ledger in LEDGERS
}
