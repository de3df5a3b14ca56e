"""Promotion: a waiting run becomes its thread's live run. It gets its ordinal, and its messages get their positions.

The promotion is part of the transaction that ends the previous run, so a thread never has two live runs, and no waiting
run is forgotten. While the thread has an open interrupt, no run is promoted. A run that was cancelled while it waited
is promoted first, even with an open interrupt: it only ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.message_rows import to_row
from core.agentscope.events.status_sql import status_text
from core.agentscope.events.thread_row import set_state, take_positions
from core.text import json_text
from models import AgentChatMessage

BRINGS_STATE = "bringsState"
"""Member of a waiting run's input: whether its state becomes the thread's state at its promotion."""


@dataclass(frozen=True, slots=True)
class PromotedRun:
    """A run that was waiting and is queued now; ``cancelled`` if its user does not want it any more."""

    run_pk: int
    run_id: str
    thread_id: str
    task_id: str
    ordinal: int
    attempt: int
    cancelled: bool


async def promote_next(connection: AsyncConnection, session_id: int) -> PromotedRun | None:
    """Queue the thread's next waiting run, inside a transaction that holds the thread's lock.

    Returns:
        ``None`` when no run waits, another is live, or an interrupt is open and the run was not cancelled.
    """
    row = (await connection.execute(_PROMOTE, {"session_id": session_id})).one_or_none()
    if row is None:
        return None
    if not row.cancelled:
        await _take_place(connection, session_id, row)
    return PromotedRun(
        row.id, row.run_id, row.thread_id, row.task_id, row.ordinal, row.attempt, row.cancelled
    )


async def _take_place(connection: AsyncConnection, session_id: int, row: Row[Any]) -> None:
    """Give what the run brought its place: messages in history, the state in the thread."""
    command = orjson.loads(row.input)
    if command.get(BRINGS_STATE):
        state = json_text(command.get("state"))
        await set_state(connection, session_id, state)
    messages = command.get("messages", [])
    fresh = await _unknown(connection, session_id, messages)
    if fresh and len(fresh) < len(messages):
        # Stock clients send the whole conversation: what another waiting run had brought, that run has answered.
        kept = json_text(command | {"messages": fresh})
        await connection.execute(_SET_INPUT, {"run_pk": row.id, "input": kept})
    if fresh:
        # A run whose turn comes is no new activity: the thread keeps its place in lists.
        first = await take_positions(connection, session_id, len(fresh), touch=False)
        rows = [
            to_row(message, session_id=session_id, position=first + index, ordinal=row.ordinal)
            for index, message in enumerate(fresh)
        ]
        await connection.execute(insert(AgentChatMessage).on_conflict_do_nothing(), rows)


async def _unknown(
    connection: AsyncConnection, session_id: int, messages: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the messages that history does not have."""
    known = set(
        await connection.scalars(
            select(AgentChatMessage.message_id).where(
                AgentChatMessage.session_id == session_id,
                AgentChatMessage.message_id.in_([message["id"] for message in messages]),
            )
        )
    )
    return [message for message in messages if message["id"] not in known]


_SET_INPUT = text("UPDATE agent_run SET input = :input WHERE id = :run_pk")

_PROMOTE = status_text("""
WITH next AS (
    SELECT id, cancel_requested_at FROM agent_run WHERE session_id = :session_id AND status = {waiting}
    ORDER BY cancel_requested_at IS NULL, front DESC, id LIMIT 1
), thread AS (
    UPDATE agent_chat_session AS s SET last_ordinal = greatest(s.last_ordinal, agent_floor()) + 1
    FROM next WHERE s.id = :session_id
        AND NOT EXISTS (SELECT 1 FROM agent_run
                        WHERE session_id = :session_id AND status IN {live})
        AND (next.cancel_requested_at IS NOT NULL OR NOT EXISTS (
            SELECT 1 FROM agent_interrupt WHERE session_id = :session_id AND status = {open_interrupt}))
    RETURNING s.last_ordinal, s.thread_id
)
UPDATE agent_run AS r SET
    status = {queued}, ordinal = thread.last_ordinal, next_hint_at = clock_timestamp(),
    -- Its time in the queue begins now: the runs before it are not its fault.
    queue_deadline_at = clock_timestamp() + (r.queue_deadline_at - r.created_at)
FROM next, thread WHERE r.id = next.id
RETURNING r.id, r.run_id, thread.thread_id, r.task_id, r.ordinal, r.attempt, r.input,
          r.cancel_requested_at IS NOT NULL AS cancelled
""")
