"""The usual end of a run, in one round trip: nothing waits behind the run, and the run asks nothing.

The module decides nothing. The database function ``agent_end_usual`` (migration 0016) ends the run only if no rule of
T-end has anything to decide. In every other case nothing is written, and ``ending.py``, the only definition of the
rules, ends the run. See docs/adr/0029.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.checkpoints import state_arguments
from core.agentscope.events.ending import Ended
from core.agentscope.events.history_fold import leading_results
from core.agentscope.events.message_rows import metrics, to_row
from core.agentscope.events.owned_run import OwnedRun, StreamBatch
from core.agentscope.events.run_end import EndedRun, RunEnd
from core.agentscope.events.run_status import RUNNING
from core.agentscope.events.run_summary import RunSummary
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.crash_points import crash_point
from core.direct_sql import fetch
from core.identity import Principal
from core.store_failure import is_store_failure, is_time_limit
from core.text import exact

log = structlog.get_logger(__name__)

EndUsually = Callable[[OwnedRun, RunEnd], Awaitable[Ended | None]]

# The first function could write a checkpoint of the form of its own version. It is given none.
_END = """
SELECT e.*, CASE WHEN $16::text IS NOT NULL
    THEN agent_save_state($1, $2, $3, $16, $17::int::smallint, $18, $19, $20, $21, $22, $23, $24, $25) END AS is_saved
FROM agent_end_usual($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11::text::jsonb, $12, $13, $14,
    $15::text::jsonb) AS e
-- Decided before the function is called: the condition names nothing of its row.
WHERE $26::bigint IS NULL OR $26 = (SELECT last_seq FROM agent_run WHERE id = $1)
"""
_NO_WHOLE_CHECKPOINT = (None, None, None)
_NO_STATE = (None,) * 10


def may_be_usual(end: RunEnd) -> bool:
    """Tell whether an end needs no decision of T-end, as far as the worker can know."""
    return (
        end.from_status == RUNNING
        and not end.rescue
        and not end.interrupts
        and not leading_results(end.messages)
        and (end.checkpoint is None or end.checkpoint.message_ids is None)
    )


async def end_usually(engine: AsyncEngine, run: OwnedRun, end: RunEnd) -> Ended | None:
    """End a run in a transaction of its own, if its end is a usual one; otherwise write nothing and return ``None``.

    Args:
        engine: For one statement.
        run: Claimed by this process.
        end: One of which ``may_be_usual`` is true.

    Raises:
        asyncpg.PostgresError, OSError, sqlalchemy.exc.TimeoutError: Postgres is unavailable (``core.store_failure``);
            whether the end was written is unknown.
    """
    payloads = [event.to_json() for event in end.events]
    arguments = _arguments(run, end, payloads)
    crash_point("end-before-commit")
    try:
        rows = await fetch(engine, _END, *arguments)
    except Exception as exc:
        # The careful way has a time limit for each of its statements.
        if is_store_failure(exc) and not is_time_limit(exc):
            raise
        # Too slow for one statement, a value that is refused, or a fault of ours: the answer of the careful way counts.
        log.warning("usual_end_failed", run=run.run_pk, error=type(exc).__name__)
        return None
    if not rows:
        return None
    row = rows[0]
    summary = RunSummary(
        Principal(row["tenant_id"], row["user_id"]),
        row["thread_id"],
        row["run_id"],
        end.status,
        end.error_code,
        run.attempt,
        row["created_at"],
        row["started_at"],
        row["first_token_at"],
        row["ended_at"],
        row["input_tokens"],
        row["output_tokens"],
        row["cost"],
        run.agent_id,
    )
    ended = Ended()
    ended.add(EndedRun(StreamBatch(run.session_id, run.ordinal, row["base"] + 1, payloads), summary))
    return ended


def _arguments(run: OwnedRun, end: RunEnd, payloads: list[str]) -> tuple[object, ...]:
    calls = [usage.model_dump(exclude={"kind"}) for usage in end.usages]
    by_message = metrics(calls)
    messages = [
        to_row(message, session_id=run.session_id, position=0, ordinal=run.ordinal)
        | by_message.get(message["id"], {})
        | {"place": place}
        for place, message in enumerate(end.messages)
    ]
    return (
        run.run_pk,
        run.session_id,
        run.ordinal,
        run.attempt,
        end.status,
        end.error_code,
        end.tool_ms,
        [event.type for event in end.events],
        payloads,
        _json(messages),
        _json(calls),
        *_NO_WHOLE_CHECKPOINT,
        AgUiWireEvent("", end.state).to_json() if end.state_changed else None,
        *(_NO_STATE if end.checkpoint is None else state_arguments(end.checkpoint)),
        end.base,
    )


def _json(value: Any) -> str:
    return json.dumps(value, default=exact)
