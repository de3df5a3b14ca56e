"""The ledger of model calls, and the totals of runs and threads that are sums over it.

Rules:

1. A call has one row; the key is (run, call id). Only the placeholder row (``outcome = 'lost'``) is overwritten.
2. A run's end writes the sums of the run's rows into the run and adds them to the thread.
3. If a call ends after its run, the call is added to both totals, and its placeholder is subtracted.
4. If the thread is deleted, the row stays without a run: its cost still counts for its principal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.ledger import budget_store
from core.agentscope.events.owned_run import OwnedRun
from core.agentscope.events.status_sql import status_sql
from core.agentscope.events.thread_row import lock_thread
from core.agentscope.schemas.internal_events import ModelUsage
from core.direct_sql import fetch
from core.erased_users import ERASED_LATELY_SQL, NOBODY, SHARE_LOCK_SQL, subject_of
from core.identity import Principal
from core.store_failure import is_lost_race
from core.text import exact
from core.turn_batch import TurnBatch
from models import AgentModelCall

_RACE_TRIES = 3


async def list_model_calls(connection: AsyncConnection, run_pk: int) -> list[dict[str, Any]]:
    """Return the lines of a run as column values, oldest first."""
    table = AgentModelCall.__table__
    rows = await connection.execute(select(table).where(table.c.run_pk == run_pk).order_by(table.c.id))
    return [dict(row._mapping) for row in rows]


async def add_usage(connection: AsyncConnection, run_pk: int) -> tuple[int, int, Decimal | None]:
    """Write the sums of a run's lines into the run, and add them to its thread: once, at the run's end.

    Returns:
        Input tokens, output tokens, and the cost in US dollars (None if no call has a known price).
    """
    used = (await connection.execute(_ADD_USAGE, {"run_pk": run_pk})).one_or_none()
    return (0, 0, None) if used is None else (used.input_tokens, used.output_tokens, used.cost)


async def record_model_calls(
    connection: AsyncConnection, run_pk: int | None, principal: Principal, usages: Sequence[ModelUsage]
) -> None:
    """Put model calls into the ledger. Only the placeholder row (``outcome = 'lost'``) is overwritten."""
    if not usages:
        return
    await connection.execute(_RECORD, [_line(run_pk, principal, usage) for usage in usages])


@dataclass(frozen=True, slots=True)
class CallLine:
    """A line of a run that a worker owns."""

    run: OwnedRun
    principal: Principal
    usage: ModelUsage

    def columns(self) -> dict[str, Any]:
        return _line(self.run.run_pk, self.principal, self.usage)


class CallLines:
    """Writes lines of running runs; those of one turn of the event loop in one statement.

    Each statement holds the locks of its runs for its own time only: the heartbeat waits for them. It waits itself for
    an end that is being written, which sums the ledger.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._open = TurnBatch(self._open_one, self._open_many)
        self._record = TurnBatch(self._record_one, self._record_many)

    async def open(self, line: CallLine) -> bool:
        """Put the placeholder of a call into the ledger; False when the run is not ours any more."""
        return await self._open(line)

    async def record(self, line: CallLine) -> bool:
        """Put a call into the ledger if its run has not ended; False if nothing was written.

        No budget is looked for.
        """
        return await self._record(line)

    async def _open_one(self, line: CallLine) -> bool:
        columns = line.columns()
        return bool(await fetch(self.engine, _OPEN, *(columns[name] for name in _LINE), line.run.attempt))

    async def _record_one(self, line: CallLine) -> bool:
        columns = line.columns()
        try:
            return bool(await fetch(self.engine, _RECORD_NOW, *(columns[name] for name in _LINE)))
        except asyncpg.PostgresError as exc:
            if not is_lost_race(exc):
                raise
            return False

    async def _open_many(self, lines: Sequence[CallLine]) -> dict[int, bool]:
        return await self._write(_OPEN_MANY, lines)

    async def _record_many(self, lines: Sequence[CallLine]) -> dict[int, bool]:
        return await self._write(_RECORD_MANY, lines)

    async def _write(self, sql: str, lines: Sequence[CallLine]) -> dict[int, bool]:
        """Write the lines; those of the runs that were not found have to be tried alone."""
        rows = [
            line.columns() | {"attempt": line.run.attempt, "place": place} for place, line in enumerate(lines)
        ]
        written = await fetch(self.engine, sql, json.dumps(rows, default=exact))
        return {row["place"]: True for row in written}


def _line(run_pk: int | None, principal: Principal, usage: ModelUsage) -> dict[str, Any]:
    of = {"run_pk": run_pk, "tenant_id": principal.tenant_id, "user_id": principal.user_id}
    return of | usage.model_dump(exclude={"kind"})


async def record_call_now(
    engine: AsyncEngine, run: OwnedRun, principal: Principal, usage: ModelUsage
) -> None:
    """Put a model call into the ledger as it ends; its run may have ended before it, or be deleted.

    A worker that lost its run still has to book what the provider counted: the
    totals of an ended run and of its thread grow with the ledger. The day's
    budget pays for it. Without budgets, ``CallLines`` is faster.
    """
    for tries_left in reversed(range(_RACE_TRIES)):
        try:
            await _record_call(engine, run, principal, usage)
        except DBAPIError as exc:
            # The deletion of the thread locks the run and then its lines; this transaction locks a line and then the run.
            if not tries_left or not is_lost_race(exc):
                raise
        else:
            return


async def _record_call(engine: AsyncEngine, run: OwnedRun, principal: Principal, usage: ModelUsage) -> None:
    try:
        await _record_call_of_run(engine, run, principal, usage)
    except IntegrityError:
        # Its thread was deleted. What the call used is its principal's all the same.
        async with engine.begin() as connection:
            principal = await _booked_for(connection, principal)
            # The placeholder stayed, without its run.
            orphan = {
                "call_id": usage.call_id,
                "tenant_id": principal.tenant_id,
                "user_id": principal.user_id,
            }
            await connection.execute(_DROP_ORPHAN, orphan)
            await record_model_calls(connection, None, principal, [usage])
            await _pay(connection, principal, usage)


async def _booked_for(connection: AsyncConnection, principal: Principal) -> Principal:
    """Return for whom a call of a deleted thread is booked: for nobody if the thread went with its user."""
    key = {"tenant_id": principal.tenant_id, "user_id": principal.user_id}
    # The lock first, in a statement of its own: an erasure that begins now takes this line along.
    await connection.execute(_SHARE_WITH_ERASURES, key)
    subject = {"subject": subject_of(principal.tenant_id, principal.user_id)}
    if await connection.scalar(_IS_ERASED, subject):
        return Principal(principal.tenant_id, NOBODY)
    return principal


async def _record_call_of_run(
    engine: AsyncEngine, run: OwnedRun, principal: Principal, usage: ModelUsage
) -> None:
    async with engine.connect() as connection:
        await record_model_calls(connection, run.run_pk, principal, [usage])
        # Waits for an end that is being written: it sums the ledger either with this call or without.
        ended = (await connection.execute(_LOCK_RUN, {"run_pk": run.run_pk})).scalar_one_or_none()
        if not ended:
            await _pay(connection, principal, usage)
            await connection.commit()
            return
    # Once more, with the locks in order.
    async with engine.begin() as connection:
        await lock_thread(connection, run.session_id)
        known = {call["call_id"]: call["outcome"] for call in await list_model_calls(connection, run.run_pk)}
        late = {"run_pk": run.run_pk, "call_id": usage.call_id}
        if known.get(usage.call_id, "lost") != "lost":
            return
        if usage.call_id in known:
            # The end has summed the placeholder that this line replaces.
            await connection.execute(_TAKE_OUT_CALL, late)
        await record_model_calls(connection, run.run_pk, principal, [usage])
        await connection.execute(_ADD_LATE_CALL, late)
        await _pay(connection, principal, usage)


async def _pay(connection: AsyncConnection, principal: Principal, usage: ModelUsage) -> None:
    """Let the day's budget pay for a call that has just come into the ledger."""
    await budget_store.charge(connection, principal, usage)
    await budget_store.settle(connection, [usage])


_KEY = ("run_pk", "call_id")
_LINE = (
    *_KEY,
    "tenant_id",
    "user_id",
    *(name for name in ModelUsage.model_fields if name not in ("kind", "call_id")),
)
"""The columns of a line."""


def _over_placeholder(statement: Insert) -> Insert:
    excluded = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=_KEY,
        set_={name: excluded[name] for name in _LINE if name not in _KEY},
        where=AgentModelCall.outcome == "lost",
    )


_COLUMNS = ", ".join(_LINE)
_ASSIGNED = ", ".join(f"{name} = excluded.{name}" for name in _LINE if name not in _KEY)
_OVER_PLACEHOLDER = f"""
    ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {_ASSIGNED} WHERE agent_model_call.outcome = 'lost'
"""


def _kinds() -> dict[str, str]:
    columns = AgentModelCall.__table__.c
    return {name: columns[name].type.compile(postgresql.dialect()) for name in _LINE}


def _write_line(owned: str) -> str:
    """Return the statement that writes a line if a run is found; ``owned`` finds and locks the run ``$1``."""
    values = ", ".join(f"${place}::{kind}" for place, kind in enumerate(_kinds().values(), start=1))
    return f"""
WITH owned AS ({owned}), written AS (
    INSERT INTO agent_model_call ({_COLUMNS}) SELECT {values} FROM owned {_OVER_PLACEHOLDER}
)
SELECT id FROM owned
"""  # noqa: S608  names of our own columns


def _write_lines(owned: str, fence: str) -> str:
    """Return the statement that writes the lines ``$1`` of the runs that are found, and returns their places.

    Args:
        owned: Finds and locks the runs.
        fence: Says which lines ``l`` belong to the runs ``owned``.
    """
    kinds = ", ".join(f"{name} {kind}" for name, kind in _kinds().items())
    return f"""
WITH line AS (
    SELECT * FROM jsonb_to_recordset($1::text::jsonb) AS l({kinds}, attempt smallint, place integer)
), owned AS ({owned}), written AS (
    INSERT INTO agent_model_call ({_COLUMNS})
    SELECT {", ".join(f"l.{name}" for name in _LINE)} FROM line AS l JOIN owned ON {fence}
    {_OVER_PLACEHOLDER}
)
SELECT l.place FROM line AS l JOIN owned ON {fence}
"""  # noqa: S608  names of our own columns


# Built once: `excluded` alone, which copies all columns, is a twentieth of the CPU of a short run.
_RECORD = _over_placeholder(upsert(AgentModelCall))
# The same line again, when an earlier try was committed and its answer lost.
_OWNED = status_sql("SELECT id FROM agent_run WHERE id = $1 AND status = {running} AND attempt =")
_OPEN = _write_line(f"{_OWNED} ${len(_LINE) + 1} FOR SHARE")
# Waits for an end that is being written, and then finds no run: the end has summed the ledger without this line.
_RECORD_NOW = _write_line("SELECT id FROM agent_run WHERE id = $1 AND ended_at IS NULL FOR NO KEY UPDATE")
# Locked in the order of the rows, as appends and heartbeats lock them. A run that somebody has locked just now holds up
# no other: its lines are written alone.
_OPEN_MANY = _write_lines(
    status_sql(
        """SELECT id, attempt FROM agent_run
        WHERE (id, attempt) IN (SELECT run_pk, attempt FROM line) AND status = {running}
        ORDER BY id FOR SHARE SKIP LOCKED"""
    ),
    fence="(owned.id, owned.attempt) = (l.run_pk, l.attempt)",
)
_RECORD_MANY = _write_lines(
    """SELECT id FROM agent_run WHERE id IN (SELECT run_pk FROM line) AND ended_at IS NULL
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED""",
    fence="owned.id = l.run_pk",
)

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
RETURNING u.input_tokens::bigint AS input_tokens, u.output_tokens::bigint AS output_tokens, u.cost
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

_SHARE_WITH_ERASURES = text(f"SELECT {SHARE_LOCK_SQL}")
_IS_ERASED = text(f"SELECT {ERASED_LATELY_SQL}")

_ADD_LATE_CALL = text(_CALL_TO_TOTALS)
_TAKE_OUT_CALL = text(_CALL_TO_TOTALS.replace(" + l.", " - l."))
