"""T-end: closing events, the terminal event, messages, usage, interrupts, checkpoint and status together.

All of it is written in one transaction: a reader that sees the terminal event finds the history that belongs to it.

All code takes the lock of the thread before the lock of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Row, insert, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.call_arguments import hash_arguments
from core.agentscope.events.checkpoints import Checkpoint, save_last_checkpoint
from core.agentscope.events.epoch import carry_over
from core.agentscope.events.history_fold import leading_results
from core.agentscope.events.ledger import budget_store
from core.agentscope.events.ledger.ledger import add_usage, list_model_calls, record_model_calls
from core.agentscope.events.message_rows import metrics, to_row
from core.agentscope.events.owned_run import OwnedRun, StreamBatch
from core.agentscope.events.run_status import RUNNING, EndStatus, LiveStatus, may_become
from core.agentscope.events.run_summary import RunSummary
from core.agentscope.events.thread_row import hide_positions, lock_thread, set_state, take_positions
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.agentscope.schemas.internal_events import InterruptRequested, ModelUsage
from core.errors import LeaseLost
from core.identity import Principal
from core.store_failure import is_store_failure, is_time_limit
from models import AgentChatMessage, AgentInterrupt

log = structlog.get_logger(__name__)

NOT_STORED = "This message could not be stored."
"""Takes the place of a message that Postgres refused."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ends. ``events`` holds everything not yet in the log; the last one is terminal."""

    status: EndStatus
    events: Sequence[AgUiWireEvent]
    messages: Sequence[dict[str, Any]]
    error_code: str | None = None
    interrupts: Sequence[InterruptRequested] = ()
    usages: Sequence[ModelUsage] = ()
    tool_ms: int = 0
    checkpoint: Checkpoint | None = None
    state: Any = None
    state_changed: bool = False
    from_status: LiveStatus = RUNNING
    base: int | None = None
    """How many events the log has, if whoever ends the run has written them all: then nothing of it was lost."""
    rescue: bool = False
    """Postgres refused an end with these messages: each is stored alone, or a note in its place."""

    def __post_init__(self) -> None:
        if not may_become(self.from_status, self.status):
            raise ValueError(f"a run that is {self.from_status} cannot end as {self.status}")


@dataclass(frozen=True, slots=True)
class EndedRun:
    """What the caller does after the commit: publish ``batch``, log ``summary``."""

    batch: StreamBatch
    summary: RunSummary


async def end_run(connection: AsyncConnection, run: OwnedRun, end: RunEnd) -> EndedRun:
    """End a run inside the caller's transaction.

    Raises:
        LeaseLost: Another worker owns the run, or it has ended. Nothing was written.
    """
    await lock_thread(connection, run.session_id)
    if end.base is None:
        run = await carry_over(connection, run)
    ended = (
        await connection.execute(
            _END_RUN,
            {
                "run_pk": run.run_pk,
                "attempt": run.attempt,
                "from_status": end.from_status,
                "n": len(end.events),
                "status": end.status,
                "error_code": end.error_code,
                "tool_ms": end.tool_ms,
                "base": end.base,
            },
        )
    ).one_or_none()
    if ended is None:
        raise LeaseLost
    await _insert_events(connection, run, ended.base, ended.log_part, end.events)
    await record_model_calls(connection, run.run_pk, Principal(ended.tenant_id, ended.user_id), end.usages)
    calls = await list_model_calls(connection, run.run_pk)
    used = await add_usage(connection, run.run_pk)
    await _insert_messages(connection, run, end.messages, metrics(calls), rescue=end.rescue)
    if end.interrupts:
        await connection.execute(
            insert(AgentInterrupt), [_interrupt_row(run, interrupt) for interrupt in end.interrupts]
        )
    if end.checkpoint is not None:
        await save_last_checkpoint(connection, run, end.checkpoint)
    if end.state_changed:
        await set_state(connection, run.session_id, _json(end.state))
    # Last: the budget's row is shared by all runs of the user.
    await budget_store.settle(connection, end.usages)
    await budget_store.release_run(connection, run.run_pk)
    batch = StreamBatch(
        run.session_id, run.ordinal, ended.base + 1, [event.to_json() for event in end.events]
    )
    return EndedRun(batch, _summary(ended, end, used))


def _summary(ended: Row[Any], end: RunEnd, used: tuple[int, int, Decimal | None]) -> RunSummary:
    return RunSummary(
        Principal(ended.tenant_id, ended.user_id),
        ended.thread_id,
        ended.run_id,
        end.status,
        end.error_code,
        ended.attempt,
        ended.created_at,
        ended.started_at,
        ended.first_token_at,
        ended.ended_at,
        *used,
        ended.agent_id,
    )


async def _insert_events(
    connection: AsyncConnection, run: OwnedRun, base: int, log_part: int, events: Sequence[AgUiWireEvent]
) -> None:
    await connection.execute(
        _INSERT_EVENTS,
        {
            "session_id": run.session_id,
            "ordinal": run.ordinal,
            "base": base,
            "log_part": log_part,
            "attempt": run.attempt,
            "types": [event.type for event in events],
            "payloads": [event.to_json() for event in events],
        },
    )


async def _insert_messages(
    connection: AsyncConnection,
    run: OwnedRun,
    messages: Sequence[dict[str, Any]],
    by_message: dict[str, dict[str, Any]],
    *,
    rescue: bool,
) -> None:
    first = await take_positions(connection, run.session_id, len(messages), touch=True)
    if not messages:
        return
    # Results of an earlier run's calls come right after that run, before this run's user messages.
    results = len(leading_results(messages))
    moved: Sequence[int] = ()
    if results:
        run_key = {"session_id": run.session_id, "ordinal": run.ordinal}
        moved = (await connection.execute(_MAKE_ROOM, run_key | {"n": results})).scalars().all()
        await connection.execute(_PUT_BACK, run_key)
    result_first = min(moved, default=first)
    rows = [
        to_row(
            message,
            session_id=run.session_id,
            position=(result_first if index < results else first) + index,
            ordinal=run.ordinal,
        )
        | by_message.get(message["id"], {})
        for index, message in enumerate(messages)
    ]
    if rescue:
        stored = [await _rescue_message(connection, row) for row in rows].count(True)
    else:
        stored = len((await connection.execute(_INSERT_MESSAGE, rows)).all())
    if stored < len(rows):
        await hide_positions(connection, run.session_id, len(rows) - stored)


async def _rescue_message(connection: AsyncConnection, row: dict[str, Any]) -> bool:
    """Store a message, or a note in its place; False if the thread has a message with its id."""
    note = {"content": NOT_STORED, "tool_calls": None, "extra": None, "incomplete": True}
    for values in (row, row | note):
        try:
            async with connection.begin_nested():
                stored = (await connection.execute(_INSERT_MESSAGE, values)).one_or_none() is not None
        except DBAPIError as exc:
            if is_store_failure(exc) and not is_time_limit(exc):
                raise
            log.error("message_not_stored", message=row["message_id"], error=type(exc).__name__)
        else:
            return stored
    return False


def _interrupt_row(run: OwnedRun, interrupt: InterruptRequested) -> dict[str, Any]:
    return {
        "session_id": run.session_id,
        "run_pk": run.run_pk,
        "interrupt_id": interrupt.interrupt_id,
        "reason": interrupt.reason,
        "message": interrupt.message,
        "tool_call_id": interrupt.tool_call_id,
        "tool_name": interrupt.tool_name,
        "arguments": interrupt.arguments,
        "arguments_sha256": None if interrupt.arguments is None else hash_arguments(interrupt.arguments),
        "response_schema": interrupt.response_schema,
        "expires_at": interrupt.expires_at,
        "details": interrupt.metadata,
    }


def _json(value: Any) -> str:
    return AgUiWireEvent("", value).to_json()


# An existing message is not changed: a run must always be able to end.
_INSERT_MESSAGE = upsert(AgentChatMessage).on_conflict_do_nothing().returning(AgentChatMessage.id)

_END_RUN = text("""
UPDATE agent_run SET
    last_seq = last_seq + :n, status = :status, error_code = :error_code, tool_ms = :tool_ms,
    lease_until = NULL, ended_at = clock_timestamp()
WHERE id = :run_pk AND attempt = :attempt AND status = :from_status
    AND (CAST(:base AS bigint) IS NULL OR last_seq = :base)
RETURNING last_seq - :n AS base, log_part, tenant_id, user_id, run_id, agent_id, attempt, created_at, started_at, first_token_at, ended_at,
    (SELECT thread_id FROM agent_chat_session WHERE id = session_id) AS thread_id
""")

_INSERT_EVENTS = text("""
INSERT INTO agent_run_event (session_id, ordinal, seq, attempt, type, payload, log_part)
SELECT :session_id, :ordinal, :base + e.place, :attempt, e.type, e.payload, :log_part
FROM unnest(CAST(:types AS text[]), CAST(:payloads AS text[])) WITH ORDINALITY AS e(type, payload, place)
""")

# First to negative numbers: positions are unique, so a single update would violate the constraint.
_MAKE_ROOM = text("""
UPDATE agent_chat_message SET position = -(position + :n)
WHERE session_id = :session_id AND ordinal = :ordinal AND position >= (
    SELECT min(position) FROM agent_chat_message
    WHERE session_id = :session_id AND ordinal = :ordinal AND role <> 'tool')
RETURNING -position - :n
""")

_PUT_BACK = text("""
UPDATE agent_chat_message SET position = -position
WHERE session_id = :session_id AND ordinal = :ordinal AND position < 0
""")
