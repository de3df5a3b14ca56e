"""Sums over the ledgers for their owner: what model calls and transcriptions of a period took and cost.

One snapshot for everything, so that rows and totals agree while runs go on.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.queries.usage_totals import decimal_text
from core.agentscope.schemas.usage import (
    CallTotals,
    DayTotals,
    DayTranscriptions,
    Grouping,
    ModelTotals,
    ModelTranscriptions,
    Percentiles,
    ThreadTotals,
    TranscriptionTotals,
    TranscriptionUsage,
    UsagePeriod,
    UsageResponse,
)
from core.identity import Principal

MAX_ROWS = 1000


class UsageReader:
    """Reads what its owner has used."""

    def __init__(self, engine: AsyncEngine, *, max_rows: int = MAX_ROWS) -> None:
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._max_rows = max_rows

    async def usage(self, principal: Principal, period: UsagePeriod, group_by: Grouping) -> UsageResponse:
        """Return the caller's usage of a period. A call counts at the moment it ended."""
        values = {
            "tenant_id": principal.tenant_id,
            "user_id": principal.user_id,
            "start": period.start,
            "end": period.end,
            # One additional row for the totals, and one more to detect that rows were omitted.
            "rows": self._max_rows + 2,
        }
        async with self._engine.connect() as connection:
            total, *rows = (await connection.execute(_CALLS[group_by], values)).all()
            spoken_total, *spoken = (await connection.execute(_TRANSCRIPTIONS[group_by], values)).all()
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
_OF_THREADS = """
LEFT JOIN agent_run AS r ON r.id = c.run_pk LEFT JOIN agent_chat_session AS s ON s.id = r.session_id
"""
_COSTLY_FIRST = "cost DESC NULLS LAST, sum(c.input_tokens + c.output_tokens) DESC"


def _sums(sums: str, table: str, keys: str, key: str, order: str, joined: str = "") -> TextClause:
    """Return the statement for one key: the row of the totals first."""
    parts = (
        f"SELECT {keys},",
        sums,
        f"FROM {table} AS c",
        joined,
        _MINE,
        f"GROUP BY GROUPING SETS ((), ({key})) ORDER BY grouping({key}) DESC, {order} LIMIT :rows",
    )
    return text("\n".join(parts))


_MODEL = "c.provider, c.model"

_CALLS: dict[Grouping, TextClause] = {
    "day": _sums(_CALL_SUMS, "agent_model_call", f"{_DAY} AS day", _DAY, "day"),
    "model": _sums(_CALL_SUMS, "agent_model_call", _MODEL, _MODEL, f"{_COSTLY_FIRST}, {_MODEL}"),
    "thread": _sums(
        _CALL_SUMS,
        "agent_model_call",
        "s.thread_id, s.title",
        "s.id, s.thread_id, s.title",
        f"{_COSTLY_FIRST}, s.id",
        _OF_THREADS,
    ),
}
_TRANSCRIPTIONS: dict[Grouping, TextClause] = {
    "day": _sums(_TRANSCRIPTION_SUMS, "agent_transcription", f"{_DAY} AS day", _DAY, "day"),
    "model": _sums(
        _TRANSCRIPTION_SUMS,
        "agent_transcription",
        _MODEL,
        _MODEL,
        f"cost DESC NULLS LAST, sum(c.audio_ms) DESC, {_MODEL}",
    ),
    "thread": text("\n".join(("SELECT", _TRANSCRIPTION_SUMS, "FROM agent_transcription AS c", _MINE))),
}
