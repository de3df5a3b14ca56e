"""What a run writes into its thread's row: the lock, the state, the positions of its messages.

A thread's lock is taken before the lock of any of its runs, everywhere.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def lock_thread(connection: AsyncConnection, session_id: int) -> None:
    """Hold the thread's row until the transaction ends; waits for whoever holds it now."""
    await connection.execute(_LOCK, {"session_id": session_id})


async def try_lock_thread(connection: AsyncConnection, session_id: int) -> bool:
    """Hold the thread's row until the transaction ends; False when another holds it, or the thread is gone."""
    return (await connection.execute(_TRY_LOCK, {"session_id": session_id})).one_or_none() is not None


async def set_state(connection: AsyncConnection, session_id: int, state: str) -> None:
    """Replace the thread's shared state.

    Args:
        connection: A transaction that holds the thread's lock.
        session_id: The thread.
        state: JSON text.
    """
    await connection.execute(_SET_STATE, {"session_id": session_id, "state": state})


async def take_positions(connection: AsyncConnection, session_id: int, count: int, *, touch: bool) -> int:
    """Reserve the next positions of the thread's messages.

    Args:
        connection: A transaction that holds the thread's lock.
        session_id: The thread.
        count: How many; none is allowed.
        touch: Whether the thread becomes the one with the newest activity, too.

    Returns:
        The first of them.
    """
    values = {"session_id": session_id, "n": count, "touch": touch}
    return (await connection.execute(_TAKE_POSITIONS, values)).scalar_one() - count + 1


async def hide_positions(connection: AsyncConnection, session_id: int, count: int) -> None:
    """Count positions that were taken and got no message, so that lists of threads do not count them as messages."""
    await connection.execute(_HIDE_POSITIONS, {"session_id": session_id, "n": count})


# NO KEY: a plain FOR UPDATE would hold up every insert that refers to the thread.
_LOCK_SQL = "SELECT 1 FROM agent_chat_session WHERE id = :session_id FOR NO KEY UPDATE"
_LOCK = text(_LOCK_SQL)
_TRY_LOCK = text(f"{_LOCK_SQL} SKIP LOCKED")

_SET_STATE = text("UPDATE agent_chat_session SET state = CAST(:state AS jsonb) WHERE id = :session_id")

_TAKE_POSITIONS = text("""
UPDATE agent_chat_session SET
    last_position = last_position + :n, updated_at = CASE WHEN :touch THEN clock_timestamp() ELSE updated_at END
WHERE id = :session_id RETURNING last_position
""")

_HIDE_POSITIONS = text(
    "UPDATE agent_chat_session SET hidden_positions = hidden_positions + :n WHERE id = :session_id"
)
