"""Reads the caller's runs: status, timings, usage, cost, and why a run waits."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from core.agentscope.events.client_calls import OPEN_CLIENT_CALLS
from core.agentscope.events.queries.thread_rows import get_thread_row, open_interrupts
from core.agentscope.events.queries.usage_totals import usage_of
from core.agentscope.events.run_status import INTERRUPTED, QUEUED, SUCCEEDED, WAITING
from core.agentscope.schemas.agent_runtime import RunStatusResponse
from core.agentscope.schemas.links import events_url
from core.errors import NotFound
from core.identity import Principal
from models import AgentChatSession, AgentRun


class RunReader:
    """The runs of their owner."""

    def __init__(self, engine: AsyncEngine) -> None:
        # One snapshot: a run and what it waits for belong together.
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")

    async def get_run(self, principal: Principal, thread_id: str, run_id: str) -> RunStatusResponse:
        """Return the newest segment of a run.

        Raises:
            NotFound: The caller has no such thread, or the thread no such run.
        """
        async with self._engine.connect() as connection:
            return await connection.run_sync(_get_run, principal, thread_id, run_id)


def _get_run(connection: Connection, principal: Principal, thread_id: str, run_id: str) -> RunStatusResponse:
    with Session(connection) as session:
        thread = get_thread_row(session, principal, thread_id)
        run = session.scalar(
            select(AgentRun)
            .where(AgentRun.session_id == thread.id, AgentRun.run_id == run_id)
            .order_by(AgentRun.segment.desc())
            .limit(1)
        )
        if run is None:
            raise NotFound("No such run in this thread.")
        return _status(session, thread, run)


def _status(session: Session, thread: AgentChatSession, run: AgentRun) -> RunStatusResponse:
    return RunStatusResponse.model_validate(
        {
            "thread_id": thread.thread_id,
            "run_id": run.run_id,
            "task_id": run.task_id,
            "status": run.status,
            "waits_for": _waits_for(session, thread, run),
            "attempt": run.attempt,
            "error_code": run.error_code,
            "cancel_requested": run.cancel_requested_at is not None,
            "created_at": run.created_at,
            "started_at": run.started_at,
            "first_token_at": run.first_token_at,
            "ended_at": run.ended_at,
            "queue_ms": _milliseconds(run.created_at, run.started_at),
            "ttft_ms": _milliseconds(run.created_at, run.first_token_at),
            "total_ms": _milliseconds(run.created_at, run.ended_at),
            "model_ms": run.model_ms,
            "tool_ms": run.tool_ms,
            "usage": usage_of(run),
            "events_url": events_url(thread.thread_id, run.run_id),
        }
    )


def _waits_for(session: Session, thread: AgentChatSession, run: AgentRun) -> str | None:
    if run.status == QUEUED:
        return "worker"
    if run.status == WAITING:
        return "approval" if open_interrupts(session, thread.id) else "earlier-run"
    if run.status == INTERRUPTED:
        return "approval" if open_interrupts(session, thread.id) else None
    if run.status == SUCCEEDED and run.ordinal == thread.last_ordinal:
        open_calls = session.scalars(OPEN_CLIENT_CALLS, {"session_id": thread.id})
        return "client-tool" if open_calls.first() else None
    return None


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)
