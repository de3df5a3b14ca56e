"""Sums over the ledgers for their owner: what model calls and transcriptions of a period took and cost.

One snapshot for everything, so that rows and totals agree while runs go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.queries.agents_asked import agents_asked
from core.agentscope.events.queries.usage_totals import decimal_text
from core.agentscope.schemas.usage import (
    CallTotals,
    DayTotals,
    DayTranscriptions,
    Grouping,
    ModelTotals,
    ModelTranscriptions,
    Percentiles,
    StoredUsage,
    ThreadTotals,
    TranscriptionTotals,
    TranscriptionUsage,
    UsagePeriod,
    UsageResponse,
)
from core.config import LimitSettings
from core.identity import Principal
from core.replica.replica import Replica, read_either
from core.stored_bytes import StorageLimits, stored_by

MAX_ROWS = 1000


class UsageReader:
    """Reads what its owner has used."""

    def __init__(
        self,
        engine: AsyncEngine,
        default_agent: str | None = None,
        *,
        limits: LimitSettings | None = None,
        max_rows: int = MAX_ROWS,
        replica: Replica | None = None,
    ) -> None:
        self._replica = replica
        self._limits = limits or LimitSettings()
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._default_agent = default_agent
        self._max_rows = max_rows

    async def usage(
        self,
        principal: Principal,
        period: UsagePeriod,
        group_by: Grouping,
        agent_id: str | None = None,
    ) -> UsageResponse:
        """Return the caller's usage of a period, or that of the runs of one agent. A call counts at the moment it ended."""
        values = {
            "tenant_id": principal.tenant_id,
            "user_id": principal.user_id,
            "start": period.start,
            "end": period.end,
            # One additional row for the totals, and one more to detect that rows were omitted.
            "rows": self._max_rows + 2,
        }
        agents = agents_asked(principal, agent_id)
        of_agent = agents is not None
        asked = values | {"agents": agents, "default_agent": self._default_agent} if of_agent else values

        async def read(connection: AsyncConnection) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]], int]:
            calls = (await connection.execute(_CALLS[group_by, of_agent], asked)).all()
            spoken = (await connection.execute(_TRANSCRIPTIONS[group_by, of_agent], values)).all()
            return calls, spoken, await stored_by(connection, principal)

        (total, *rows), (spoken_total, *spoken), stored = await read_either(
            self._replica, "usage", self._engine, read
        )
        return UsageResponse.model_validate(
            {
                "start": period.start,
                "end": period.end,
                "group_by": group_by,
                "totals": CallTotals(**_calls(total)),
                "rows": [_ROWS[group_by](row) for row in rows[: self._max_rows]],
                "truncated": max(len(rows), len(spoken)) > self._max_rows,
                "transcriptions": TranscriptionUsage(
                    totals=TranscriptionTotals(**_transcriptions(spoken_total)),
                    rows=[_SPOKEN[group_by](row) for row in spoken[: self._max_rows]],
                ),
                "stored": StoredUsage(
                    bytes=stored, limit_bytes=StorageLimits.of(principal, self._limits).user_bytes
                ),
            }
        )


def _calls(row: Row[Any]) -> dict[str, Any]:
    return {
        "calls": row.calls,
        "estimated_calls": row.estimated_calls,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cached_input_tokens": row.cached_input_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "cost": decimal_text(row.cost),
        "unknown_cost_calls": row.unknown_cost_calls,
        "model_ms": row.model_ms,
        "latency_ms": _percentiles(row.latencies),
        "ttft_ms": _percentiles(row.ttfts),
    }


def _transcriptions(row: Row[Any]) -> dict[str, Any]:
    return {
        "calls": row.calls,
        "audio_ms": row.audio_ms,
        "cost": decimal_text(row.cost),
        "unknown_cost_calls": row.unknown_cost_calls,
    }


def _percentiles(found: list[int] | None) -> Percentiles | None:
    return None if found is None else Percentiles(p50=found[0], p95=found[1])


_ROWS: dict[Grouping, Any] = {
    "day": lambda row: DayTotals(**_calls(row), day=row.day),
    "model": lambda row: ModelTotals(**_calls(row), provider=row.provider, model=row.model),
    "thread": lambda row: ThreadTotals(**_calls(row), thread_id=row.thread_id, title=row.title),
}
_SPOKEN: dict[Grouping, Any] = {
    "day": lambda row: DayTranscriptions(**_transcriptions(row), day=row.day),
    "model": lambda row: ModelTranscriptions(**_transcriptions(row), provider=row.provider, model=row.model),
}

_DAY = "to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
_MINE = """
WHERE c.tenant_id = :tenant_id AND c.user_id = :user_id AND c.created_at >= :start AND c.created_at < :end
"""
_CALL_SUMS = """
    count(*) AS calls, count(*) FILTER (WHERE c.estimated) AS estimated_calls,
    coalesce(sum(c.input_tokens), 0)::bigint AS input_tokens,
    coalesce(sum(c.output_tokens), 0)::bigint AS output_tokens,
    coalesce(sum(c.cached_input_tokens), 0)::bigint AS cached_input_tokens,
    coalesce(sum(c.cache_write_tokens), 0)::bigint AS cache_write_tokens,
    coalesce(sum(c.reasoning_tokens), 0)::bigint AS reasoning_tokens,
    sum(c.cost) AS cost, count(*) FILTER (WHERE c.cost IS NULL) AS unknown_cost_calls,
    coalesce(sum(c.latency_ms), 0)::bigint AS model_ms,
    percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY c.latency_ms)
        FILTER (WHERE c.outcome = 'completed') AS latencies,
    percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY c.ttft_ms) AS ttfts
"""
_TRANSCRIPTION_SUMS = """
    count(*) AS calls, coalesce(sum(c.audio_ms), 0)::bigint AS audio_ms,
    sum(c.cost) AS cost, count(*) FILTER (WHERE c.cost IS NULL) AS unknown_cost_calls
"""
_OF_RUNS = "LEFT JOIN agent_run AS r ON r.id = c.run_pk"
_OF_THREADS = "LEFT JOIN agent_chat_session AS s ON s.id = r.session_id"
_COSTLY_FIRST = "cost DESC NULLS LAST, sum(c.input_tokens + c.output_tokens) DESC"
# Runs of a deployment with one agent have no id, and are the default's. The run of a deleted thread is not there.
_IS_OF_AGENT = "AND r.id IS NOT NULL AND coalesce(r.agent_id, CAST(:default_agent AS text)) = ANY (CAST(:agents AS text[]))"
# A transcription is of no agent.
_NONE = "AND false"


def _sums(
    sums: str, table: str, keys: str, key: str, order: str, *, joined: str = "", only: str = ""
) -> TextClause:
    """Return the statement for one key: the row of the totals first."""
    parts = (
        f"SELECT {keys},",
        sums,
        f"FROM {table} AS c",
        joined,
        _MINE,
        only,
        f"GROUP BY GROUPING SETS ((), ({key})) ORDER BY grouping({key}) DESC, {order} LIMIT :rows",
    )
    return text("\n".join(parts))


_MODEL = "c.provider, c.model"


def _calls_by(group_by: Grouping, *, of_agent: bool) -> TextClause:
    keys, key, order = {
        "day": (f"{_DAY} AS day", _DAY, "day"),
        "model": (_MODEL, _MODEL, f"{_COSTLY_FIRST}, {_MODEL}"),
        "thread": ("s.thread_id, s.title", "s.id, s.thread_id, s.title", f"{_COSTLY_FIRST}, s.id"),
    }[group_by]
    joined = [_OF_RUNS] if of_agent or group_by == "thread" else []
    joined += [_OF_THREADS] if group_by == "thread" else []
    only = _IS_OF_AGENT if of_agent else ""
    return _sums(_CALL_SUMS, "agent_model_call", keys, key, order, joined="\n".join(joined), only=only)


def _transcriptions_by(group_by: Grouping, *, of_agent: bool) -> TextClause:
    only = _NONE if of_agent else ""
    table = "agent_transcription"
    if group_by == "thread":
        return text("\n".join(("SELECT", _TRANSCRIPTION_SUMS, f"FROM {table} AS c", _MINE, only)))
    keys, key, order = {
        "day": (f"{_DAY} AS day", _DAY, "day"),
        "model": (_MODEL, _MODEL, f"cost DESC NULLS LAST, sum(c.audio_ms) DESC, {_MODEL}"),
    }[group_by]
    return _sums(_TRANSCRIPTION_SUMS, table, keys, key, order, only=only)


_GROUPINGS: tuple[Grouping, ...] = ("day", "model", "thread")
_CALLS = {
    (group_by, of_agent): _calls_by(group_by, of_agent=of_agent)
    for group_by in _GROUPINGS
    for of_agent in (False, True)
}
_TRANSCRIPTIONS = {
    (group_by, of_agent): _transcriptions_by(group_by, of_agent=of_agent)
    for group_by in _GROUPINGS
    for of_agent in (False, True)
}
