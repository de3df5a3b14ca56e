"""Reads the caller's runs: status, timings, usage, cost, and why a run waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session, aliased

from core.agentscope.events import interrupt_status
from core.agentscope.events.client_calls import OPEN_CLIENT_CALLS
from core.agentscope.events.queries.thread_rows import get_thread_row
from core.agentscope.events.queries.usage_totals import usage_of
from core.agentscope.events.run_status import INTERRUPTED, QUEUED, SUCCEEDED, WAITING
from core.agentscope.schemas.agent_runtime import RunStatusResponse
from core.agentscope.schemas.links import events_url
from core.agentscope.schemas.page_place import NumberPlace
from core.agentscope.schemas.runs import RunListResponse
from core.errors import NotFound
from core.identity import Principal
from core.validation import read_parameter
from models import AgentChatSession, AgentInterrupt, AgentRun


class RunReader:
    """The runs of their owner."""

    def __init__(self, engine: AsyncEngine, default_agent: str | None = None) -> None:
        # One snapshot: a run and what it waits for belong together.
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._default_agent = default_agent

    async def get_run(self, principal: Principal, thread_id: str, run_id: str) -> RunStatusResponse:
        """Return the newest segment of a run.

        Raises:
            NotFound: The caller has no such thread, or the thread no such run.
        """
        async with self._engine.connect() as connection:
            return await connection.run_sync(_get_run, principal, thread_id, run_id, self._default_agent)

    async def list_runs(
        self, principal: Principal, thread_id: str, *, limit: int, before: str | None
    ) -> RunListResponse:
        """Return a page of a thread's runs, newest first: of each run its newest segment.

        Args:
            principal: Whose thread.
            thread_id: The thread.
            limit: How many at most.
            before: ``nextBefore`` of the page before this one.

        Raises:
            NotFound: The caller has no such thread.
            InvalidRequest: ``before`` comes from no page.
        """
        place = read_parameter("before", before, NumberPlace.parse)
        async with self._engine.connect() as connection:
            return await connection.run_sync(
                _list_runs, principal, thread_id, limit, place, self._default_agent
            )


def _get_run(
    connection: Connection, principal: Principal, thread_id: str, run_id: str, default_agent: str | None
) -> RunStatusResponse:
    with Session(connection) as session:
        thread = get_thread_row(session, principal, thread_id, default_agent)
        run = session.scalar(
            select(AgentRun)
            .where(AgentRun.session_id == thread.id, AgentRun.run_id == run_id)
            .order_by(AgentRun.segment.desc())
            .limit(1)
        )
        if run is None:
            raise NotFound("No such run in this thread.")
        return _status(session, thread, run, _now(session, thread.id), default_agent)


def _list_runs(
    connection: Connection,
    principal: Principal,
    thread_id: str,
    limit: int,
    place: NumberPlace | None,
    default_agent: str | None,
) -> RunListResponse:
    with Session(connection) as session:
        thread = get_thread_row(session, principal, thread_id, default_agent)
        later = aliased(AgentRun)
        resumed = exists().where(
            later.session_id == AgentRun.session_id,
            later.run_id == AgentRun.run_id,
            later.segment > AgentRun.segment,
        )
        query = select(AgentRun).where(AgentRun.session_id == thread.id, ~resumed)
        if place is not None:
            query = query.where(AgentRun.id < place.number)
        rows = list(session.scalars(query.order_by(AgentRun.id.desc()).limit(limit + 1)))
        more, rows = len(rows) > limit, rows[:limit]
        now = _now(session, thread.id)
        return RunListResponse(
            runs=[_status(session, thread, run, now, default_agent) for run in rows],
            next_before=str(NumberPlace(rows[-1].id)) if more else None,
        )


@dataclass(frozen=True, slots=True)
class _Now:
    """What decides for all runs of a thread which of them waits for what."""

    asking: frozenset[int]
    """The rows of the runs that wait for an answer."""
    newest: int | None
    """Ordinal of the newest run. Not that of the thread, which counts on from another place after a restore."""


def _now(session: Session, session_id: int) -> _Now:
    asking = select(AgentInterrupt.run_pk).where(
        AgentInterrupt.session_id == session_id, AgentInterrupt.status == interrupt_status.OPEN
    )
    newest = select(func.max(AgentRun.ordinal)).where(AgentRun.session_id == session_id)
    return _Now(frozenset(session.scalars(asking)), session.scalar(newest))


def _status(
    session: Session,
    thread: AgentChatSession,
    run: AgentRun,
    now: _Now,
    default_agent: str | None,
) -> RunStatusResponse:
    return RunStatusResponse.model_validate(
        {
            "thread_id": thread.thread_id,
            "run_id": run.run_id,
            "task_id": run.task_id,
            "agent_id": run.agent_id or default_agent,
            "status": run.status,
            "waits_for": _waits_for(session, thread, run, now),
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


def _waits_for(session: Session, thread: AgentChatSession, run: AgentRun, now: _Now) -> str | None:
    if run.status == QUEUED:
        return "worker"
    if run.status == WAITING:
        return "approval" if now.asking else "earlier-run"
    if run.status == INTERRUPTED:
        return "approval" if run.id in now.asking else None
    if run.status == SUCCEEDED and run.ordinal == now.newest:
        open_calls = session.scalars(OPEN_CLIENT_CALLS, {"session_id": thread.id})
        return "client-tool" if open_calls.first() else None
    return None


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)
