"""Epochs: what a database that lost commits still promises its readers. See docs/adr/0068.

After an asynchronous failover or a restore, clients hold cursors of events that the database no longer has. An epoch
begins, and from then on:

1. a run gets an ordinal above the floor of the epoch (``agent_floor``), which no lost run had;
2. a run of an older epoch goes on under its ordinal only as long as its own worker writes exactly where it had stopped:
   then nothing of it was lost. Whoever else writes to it, or begins it, moves it above the floor first, as a whole;
3. a cursor counts if its run is there and has come that far.

So a cursor names an event that its client has seen, or nothing.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.owned_run import OwnedRun

FLOOR_SQL = "SELECT agent_floor()"
"""The floor of the epoch. Begins an epoch if the database is on another timeline or server than before."""
_FLOOR = text(FLOOR_SQL)

# Attempts of workers that the database has forgotten had lower numbers. The run may be tried as often as before.
_MOVED_ATTEMPTS = 100

_NEXT_PLACE = text("""
UPDATE agent_chat_session AS s SET last_ordinal = greatest(s.last_ordinal, agent_floor()) + 1
WHERE s.id = :session_id RETURNING s.last_ordinal
""")
_NEXT_ATTEMPT = text("""
UPDATE agent_run SET attempt = attempt + :more, released = released + :more WHERE id = :run_pk RETURNING attempt
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


async def floor_of(connection: AsyncConnection) -> int:
    """Return the ordinal above which the runs of this epoch are."""
    return (await connection.execute(_FLOOR)).scalar_one()


async def carry_over(connection: AsyncConnection, run: OwnedRun) -> OwnedRun:
    """Move a run of an older epoch to this one, in a transaction that holds the lock of its thread.

    Returns:
        The run as it is then: the same, if it is of this epoch. A moved one has another attempt, too.
    """
    if run.ordinal > await floor_of(connection):
        return run
    return await move(connection, run)


async def move(connection: AsyncConnection, run: OwnedRun) -> OwnedRun:
    """Give a run the next place of its thread, with everything that names its place."""
    new = (await connection.execute(_NEXT_PLACE, {"session_id": run.session_id})).scalar_one()
    for statement in _OF_RUN:
        values = {"session_id": run.session_id, "old": run.ordinal, "new": new}
        await connection.execute(text(statement), values)
    values = {"run_pk": run.run_pk, "more": _MOVED_ATTEMPTS}
    attempt = (await connection.execute(_NEXT_ATTEMPT, values)).scalar_one()
    return replace(run, ordinal=new, attempt=attempt)
