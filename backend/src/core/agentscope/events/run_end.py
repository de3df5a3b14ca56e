"""T-end: closing events, the terminal event, messages, usage, interrupts, checkpoint and status together.

Either all of it is true or none of it: a reader that sees the terminal event
finds the history that belongs to it.

Locks are taken in one order everywhere, thread before run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import insert, literal, select, text
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.history_fold import leading_results
from core.agentscope.events.ledger import budget_store
from core.agentscope.events.message_rows import metrics, to_row
from core.agentscope.events.owned_run import OwnedRun, StreamBatch
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.agentscope.schemas.internal_events import InterruptRequested, ModelUsage
from core.errors import LeaseLost
from core.identity import Principal
from models import AgentChatMessage, AgentInterrupt, AgentModelCall, AgentRun

EndStatus = Literal["succeeded", "interrupted", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The agent's state at a safe point, as JSON text."""

    agentscope_version: str
    state: str
    client_calls: tuple[str, ...] = ()
    """Tool calls that wait for the client in this state."""
    message_ids: tuple[str, ...] | None = None
    """The run's messages that this state knows; ``None`` at the run's end: all of them."""


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
    from_status: Literal["running", "queued"] = field(default="running")


async def end_run(connection: AsyncConnection, run: OwnedRun, end: RunEnd) -> StreamBatch:
    """End a run inside the caller's transaction; show the returned events after its commit.

    Raises:
        LeaseLost: The run is not ours, or has ended already. Nothing was written.
    """
    await connection.execute(_LOCK_THREAD, {"session_id": run.session_id})
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
            },
        )
    ).one_or_none()
    if ended is None:
        raise LeaseLost
    await _insert_events(connection, run, ended.base, end.events)
    await record_model_calls(connection, run.run_pk, Principal(ended.tenant_id, ended.user_id), end.usages)
    calls = await _ledger(connection, run.run_pk)
    await connection.execute(_ADD_USAGE, {"run_pk": run.run_pk})
    await _insert_messages(connection, run, end.messages, metrics(calls))
    if end.interrupts:
        await connection.execute(
            insert(AgentInterrupt), [_interrupt_row(run, interrupt) for interrupt in end.interrupts]
        )
    if end.checkpoint is not None:
        await save_checkpoint(connection, run, end.checkpoint)
    if end.state_changed:
        await connection.execute(_SET_STATE, {"session_id": run.session_id, "state": _json(end.state)})
    # Last: the budget's row is shared by all runs of the user.
    await budget_store.settle(connection, end.usages)
    await budget_store.release_run(connection, run.run_pk)
    return StreamBatch(run.session_id, run.ordinal, ended.base + 1, [event.to_json() for event in end.events])


async def record_model_calls(
    connection: AsyncConnection, run_pk: int | None, owner: Principal, usages: Sequence[ModelUsage]
) -> None:
    """Put model calls into the ledger; only a line that says no more than that its call began is replaced."""
    if not usages:
        return
    lines = [_line(run_pk, owner, usage) for usage in usages]
    statement = upsert(AgentModelCall)
    await connection.execute(_replacing_what_began(statement, lines[0]), lines)


async def open_model_call(
    connection: AsyncConnection, run: OwnedRun, owner: Principal, opening: ModelUsage
) -> bool:
    """Put a call that begins into the ledger; False when the run is not ours any more.

    One statement: while it holds the run's lock, the heartbeat waits. It waits
    itself for an end that is being written, which sums the ledger.
    """
    owned = (
        select(AgentRun.id)
        .where(AgentRun.id == run.run_pk, AgentRun.attempt == run.attempt, AgentRun.status == "running")
        .with_for_update(read=True)
        .cte("owned")
    )
    line = _line(run.run_pk, owner, opening)
    columns = AgentModelCall.__table__.c
    values = [literal(value, columns[name].type).label(name) for name, value in line.items()]
    # The same line again, when an earlier try was committed and its answer lost.
    statement = upsert(AgentModelCall).from_select(list(line), select(*values).select_from(owned))
    written = _replacing_what_began(statement, line).returning(AgentModelCall.call_id).cte("written")
    ours = await connection.execute(select(owned.c.id).add_cte(written))
    return ours.first() is not None


def _line(run_pk: int | None, owner: Principal, usage: ModelUsage) -> dict[str, Any]:
    of = {"run_pk": run_pk, "tenant_id": owner.tenant_id, "user_id": owner.user_id}
    return of | usage.model_dump(exclude={"kind"})


def _replacing_what_began(statement: Insert, line: Mapping[str, Any]) -> Insert:
    return statement.on_conflict_do_update(
        index_elements=["run_pk", "call_id"],
        set_={name: statement.excluded[name] for name in line if name not in ("run_pk", "call_id")},
        where=AgentModelCall.outcome == "lost",
    )


async def record_call_now(
    engine: AsyncEngine, run: OwnedRun, owner: Principal, usage: ModelUsage, *, budgeted: bool = True
) -> None:
    """Put a model call into the ledger as it ends; its run may have ended before it, or be deleted.

    A worker that lost its run still has to book what the provider counted: the
    totals of an ended run and of its thread grow with the ledger. Without
    ``budgeted`` no budget is looked for: heartbeats wait while the run is locked.
    """
    try:
        await _record_call_of_run(engine, run, owner, usage, budgeted=budgeted)
    except IntegrityError:
        # Its thread was deleted. What the call used is its owner's all the same.
        async with engine.begin() as connection:
            # The line that was written ahead stayed, without its run.
            orphan = {"call_id": usage.call_id, "tenant_id": owner.tenant_id, "user_id": owner.user_id}
            await connection.execute(_DROP_ORPHAN, orphan)
            await record_model_calls(connection, None, owner, [usage])
            await _pay(connection, owner, usage)


async def _record_call_of_run(
    engine: AsyncEngine, run: OwnedRun, owner: Principal, usage: ModelUsage, *, budgeted: bool
) -> None:
    async with engine.connect() as connection:
        await record_model_calls(connection, run.run_pk, owner, [usage])
        # Waits for an end that is being written: it sums the ledger either with this call or without.
        ended = (await connection.execute(_LOCK_RUN, {"run_pk": run.run_pk})).scalar_one_or_none()
        if not ended:
            if budgeted:
                await _pay(connection, owner, usage)
            await connection.commit()
            return
    # Once more, with the locks in order.
    async with engine.begin() as connection:
        await connection.execute(_LOCK_THREAD, {"session_id": run.session_id})
        known = {call["call_id"]: call["outcome"] for call in await _ledger(connection, run.run_pk)}
        late = {"run_pk": run.run_pk, "call_id": usage.call_id}
        if known.get(usage.call_id, "lost") != "lost":
            return
        if usage.call_id in known:
            # The end has summed the line that this one replaces.
            await connection.execute(_TAKE_OUT_CALL, late)
        await record_model_calls(connection, run.run_pk, owner, [usage])
        await connection.execute(_ADD_LATE_CALL, late)
        await _pay(connection, owner, usage)


async def _pay(connection: AsyncConnection, owner: Principal, usage: ModelUsage) -> None:
    """Let the day's budget pay for a call that has just come into the ledger."""
    await budget_store.charge(connection, owner, usage)
    await budget_store.settle(connection, [usage])


async def save_checkpoint(connection: AsyncConnection, run: OwnedRun, checkpoint: Checkpoint) -> None:
    """Keep the agent's state for this run; 0 rows when the run is no longer ours.

    The row is written only under the run's fence, so a lost worker cannot
    replace the state of its successor.
    """
    await connection.execute(
        _SAVE_CHECKPOINT,
        {
            "run_pk": run.run_pk,
            "session_id": run.session_id,
            "ordinal": run.ordinal,
            "attempt": run.attempt,
            "version": checkpoint.agentscope_version,
            "state": checkpoint.state,
            "client_calls": list(checkpoint.client_calls),
            "message_ids": None if checkpoint.message_ids is None else list(checkpoint.message_ids),
        },
    )


async def _insert_events(
    connection: AsyncConnection, run: OwnedRun, base: int, events: Sequence[AgUiWireEvent]
) -> None:
    await connection.execute(
        _INSERT_EVENTS,
        {
            "session_id": run.session_id,
            "ordinal": run.ordinal,
            "base": base,
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
) -> None:
    last_ord = (
        await connection.execute(_TAKE_ORDS, {"session_id": run.session_id, "n": len(messages)})
    ).scalar_one()
    if not messages:
        return
    first = last_ord - len(messages) + 1
    # Results of an earlier run's calls stand behind that run, so before what this run was asked.
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
            position=(result_first if place < results else first) + place,
            ordinal=run.ordinal,
        )
        | by_message.get(message["id"], {})
        for place, message in enumerate(messages)
    ]
    # A message that is there already is left alone: a run must always be able to end.
    await connection.execute(upsert(AgentChatMessage).on_conflict_do_nothing(), rows)


async def _ledger(connection: AsyncConnection, run_pk: int) -> list[dict[str, Any]]:
    table = AgentModelCall.__table__
    rows = await connection.execute(select(table).where(table.c.run_pk == run_pk).order_by(table.c.id))
    return [dict(row._mapping) for row in rows]


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
        "arguments_sha256": None
        if interrupt.arguments is None
        else hashlib.sha256(interrupt.arguments.encode()).digest(),
        "response_schema": interrupt.response_schema,
        "expires_at": interrupt.expires_at,
    }


def _json(value: Any) -> str:
    return AgUiWireEvent("", value).to_json()


# NO KEY: a plain FOR UPDATE would hold up every insert that refers to the thread.
_LOCK_THREAD = text("SELECT 1 FROM agent_chat_session WHERE id = :session_id FOR NO KEY UPDATE")

_END_RUN = text("""
UPDATE agent_run SET
    last_seq = last_seq + :n, status = :status, error_code = :error_code, tool_ms = :tool_ms,
    lease_until = NULL, ended_at = clock_timestamp()
WHERE id = :run_pk AND attempt = :attempt AND status = :from_status
RETURNING last_seq - :n AS base, tenant_id, user_id
""")

_INSERT_EVENTS = text("""
INSERT INTO agent_run_event (session_id, ordinal, seq, attempt, type, payload)
SELECT :session_id, :ordinal, :base + e.place, :attempt, e.type, e.payload
FROM unnest(CAST(:types AS text[]), CAST(:payloads AS text[])) WITH ORDINALITY AS e(type, payload, place)
""")

_TAKE_ORDS = text("""
UPDATE agent_chat_session SET last_ord = last_ord + :n, updated_at = clock_timestamp()
WHERE id = :session_id RETURNING last_ord
""")

# By way of negative numbers: positions are unique, and one update would collide with itself.
_MAKE_ROOM = text("""
UPDATE agent_chat_message SET ord = -(ord + :n)
WHERE session_id = :session_id AND ordinal = :ordinal AND ord >= (
    SELECT min(ord) FROM agent_chat_message
    WHERE session_id = :session_id AND ordinal = :ordinal AND role <> 'tool')
RETURNING -ord - :n
""")

_PUT_BACK = text("""
UPDATE agent_chat_message SET ord = -ord WHERE session_id = :session_id AND ordinal = :ordinal AND ord < 0
""")

_ADD_USAGE = text("""
WITH used AS (
    SELECT count(*) AS calls,
           coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
           coalesce(sum(cached_input_tokens), 0) AS cached_input_tokens,
           coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,
           sum(cost) AS cost, count(*) FILTER (WHERE cost IS NULL) AS unknown_cost_calls,
           coalesce(sum(latency_ms), 0) AS model_ms
    FROM agent_model_call WHERE run_pk = :run_pk
), of_run AS (
    UPDATE agent_run AS r SET
        input_tokens = u.input_tokens, output_tokens = u.output_tokens,
        cached_input_tokens = u.cached_input_tokens, reasoning_tokens = u.reasoning_tokens,
        cost = u.cost, unknown_cost_calls = u.unknown_cost_calls, model_ms = u.model_ms
    FROM used AS u WHERE r.id = :run_pk AND u.calls > 0 RETURNING r.session_id
)
UPDATE agent_chat_session AS s SET
    input_tokens = s.input_tokens + u.input_tokens, output_tokens = s.output_tokens + u.output_tokens,
    cached_input_tokens = s.cached_input_tokens + u.cached_input_tokens,
    reasoning_tokens = s.reasoning_tokens + u.reasoning_tokens,
    cost = CASE WHEN u.cost IS NULL THEN s.cost ELSE coalesce(s.cost, 0) + u.cost END,
    unknown_cost_calls = s.unknown_cost_calls + u.unknown_cost_calls
FROM used AS u, of_run AS r WHERE s.id = r.session_id
""")

_LOCK_RUN = text("SELECT ended_at IS NOT NULL FROM agent_run WHERE id = :run_pk FOR NO KEY UPDATE")

_CALL_TO_TOTALS = """
WITH late AS (
    SELECT *, (cost IS NULL)::int AS unknown FROM agent_model_call WHERE run_pk = :run_pk AND call_id = :call_id
), of_run AS (
    UPDATE agent_run AS r SET
        input_tokens = r.input_tokens + l.input_tokens, output_tokens = r.output_tokens + l.output_tokens,
        cached_input_tokens = r.cached_input_tokens + l.cached_input_tokens,
        reasoning_tokens = r.reasoning_tokens + l.reasoning_tokens,
        cost = CASE WHEN l.cost IS NULL THEN r.cost ELSE coalesce(r.cost, 0) + l.cost END,
        unknown_cost_calls = r.unknown_cost_calls + l.unknown, model_ms = r.model_ms + l.latency_ms
    FROM late AS l WHERE r.id = :run_pk RETURNING r.session_id
)
UPDATE agent_chat_session AS s SET
    input_tokens = s.input_tokens + l.input_tokens, output_tokens = s.output_tokens + l.output_tokens,
    cached_input_tokens = s.cached_input_tokens + l.cached_input_tokens,
    reasoning_tokens = s.reasoning_tokens + l.reasoning_tokens,
    cost = CASE WHEN l.cost IS NULL THEN s.cost ELSE coalesce(s.cost, 0) + l.cost END,
    unknown_cost_calls = s.unknown_cost_calls + l.unknown
FROM late AS l, of_run AS r WHERE s.id = r.session_id
"""

_DROP_ORPHAN = text("""
DELETE FROM agent_model_call
WHERE tenant_id = :tenant_id AND user_id = :user_id AND run_pk IS NULL AND call_id = :call_id AND outcome = 'lost'
""")

_ADD_LATE_CALL = text(_CALL_TO_TOTALS)
_TAKE_OUT_CALL = text(_CALL_TO_TOTALS.replace(" + l.", " - l."))

_SAVE_CHECKPOINT = text("""
INSERT INTO agent_checkpoint (run_pk, session_id, ordinal, agentscope_version, state, client_calls, message_ids)
SELECT r.id, :session_id, :ordinal, :version, :state, CAST(:client_calls AS text[]),
       CAST(:message_ids AS text[]) FROM agent_run AS r
WHERE r.id = :run_pk AND r.attempt = :attempt
ON CONFLICT (run_pk) DO UPDATE SET
    state = excluded.state, client_calls = excluded.client_calls, message_ids = excluded.message_ids,
    agentscope_version = excluded.agentscope_version, updated_at = clock_timestamp()
""")

_SET_STATE = text("UPDATE agent_chat_session SET state = CAST(:state AS jsonb) WHERE id = :session_id")
