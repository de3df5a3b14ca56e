"""One consistent read of a thread: what a client that saw every event holds, and the cursor that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from core.agentscope.events.agui_codec import interrupt_body
from core.agentscope.events.client_calls import OPEN_CLIENT_CALLS
from core.agentscope.events.history_fold import HistoryFold, leading_results
from core.agentscope.events.message_rows import to_message
from core.agentscope.events.queries.usage_totals import usage_of
from core.agentscope.schemas.agent_runtime import (
    ActiveRun,
    AgUiWireEvent,
    Cursor,
    HistorySnapshotResponse,
    RunStatusResponse,
)
from core.agentscope.schemas.links import events_url
from core.errors import InvalidRequest, NotFound
from core.identity import Principal
from models import AgentChatMessage, AgentChatSession, AgentInterrupt, AgentRun, AgentRunEvent

LIVE = ("queued", "running")


class HistoryReader:
    """Reads threads and runs of their owner."""

    def __init__(self, engine: AsyncEngine) -> None:
        # One snapshot for messages, live events, interrupts and cursor: they belong together.
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")

    async def history(
        self, principal: Principal, thread_id: str, *, limit: int, before: str | None
    ) -> HistorySnapshotResponse:
        """Return a page of a thread's messages, newest page first, with everything that belongs to it.

        Raises:
            NotFound: The caller has no such thread.
            InvalidRequest: ``before`` is not a message of the thread.
        """
        async with self._engine.connect() as connection:
            return await connection.run_sync(_read_history, principal, thread_id, limit, before)

    async def run_status(self, principal: Principal, thread_id: str, run_id: str) -> RunStatusResponse:
        """Return the newest segment of a run.

        Raises:
            NotFound: The caller has no such thread, or the thread no such run.
        """
        async with self._engine.connect() as connection:
            return await connection.run_sync(_read_run, principal, thread_id, run_id)


def _read_history(
    connection: Connection, principal: Principal, thread_id: str, limit: int, before: str | None
) -> HistorySnapshotResponse:
    with Session(connection) as session:
        thread = _thread(session, principal, thread_id)
        rows = _page(session, thread.id, limit, before)
        has_more, rows = len(rows) > limit, rows[:limit]
        messages = [to_message(row) for row in reversed(rows)]
        live = session.scalar(
            select(AgentRun).where(AgentRun.session_id == thread.id, AgentRun.status.in_(LIVE))
        )
        state = thread.state
        if live is not None and before is None:
            folding = _fold_live(session, live)
            said = folding.snapshot()
            results = leading_results(said)
            at = _first_of_run(list(reversed(rows)), live.ordinal)
            messages = [*messages[:at], *results, *messages[at:], *said[len(results) :]]
            state = folding.state if folding.state_changed else state
        return HistorySnapshotResponse(
            thread_id=thread.thread_id,
            title=thread.title,
            messages=messages,
            state=state,
            pending_interrupts=_open_interrupts(session, thread.id),
            active_run=None
            if live is None
            else ActiveRun.model_validate(
                {
                    "run_id": live.run_id,
                    "status": live.status,
                    "events_url": events_url(thread.thread_id, live.run_id),
                }
            ),
            cursor=str(_head(session, thread)),
            has_more=has_more,
            next_before=rows[-1].message_id if has_more else None,
            usage=usage_of(thread),
        )


def _read_run(connection: Connection, principal: Principal, thread_id: str, run_id: str) -> RunStatusResponse:
    with Session(connection) as session:
        thread = _thread(session, principal, thread_id)
        run = session.scalar(
            select(AgentRun)
            .where(AgentRun.session_id == thread.id, AgentRun.run_id == run_id)
            .order_by(AgentRun.segment.desc())
            .limit(1)
        )
        if run is None:
            raise NotFound("No such run in this thread.")
        waits_for = {"queued": "worker", "waiting": "earlier-run", "interrupted": "approval"}.get(run.status)
        if run.status == "succeeded" and run.ordinal == thread.last_ordinal:
            open_calls = session.scalars(OPEN_CLIENT_CALLS, {"session_id": thread.id})
            waits_for = "client-tool" if open_calls.first() else None
        if run.status == "waiting" and _open_interrupts(session, thread.id):
            waits_for = "approval"
        if run.status == "interrupted" and not _open_interrupts(session, thread.id):
            waits_for = None
        return RunStatusResponse.model_validate(
            {
                "thread_id": thread.thread_id,
                "run_id": run.run_id,
                "task_id": run.task_id,
                "status": run.status,
                "waits_for": waits_for,
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


def _thread(session: Session, principal: Principal, thread_id: str) -> AgentChatSession:
    thread = session.scalar(
        select(AgentChatSession).where(
            AgentChatSession.tenant_id == principal.tenant_id,
            AgentChatSession.user_id == principal.user_id,
            AgentChatSession.thread_id == thread_id,
        )
    )
    if thread is None:
        raise NotFound("No such thread.")
    return thread


def _page(session: Session, session_id: int, limit: int, before: str | None) -> list[AgentChatMessage]:
    """Return up to ``limit + 1`` messages, newest first."""
    query = select(AgentChatMessage).where(
        AgentChatMessage.session_id == session_id, AgentChatMessage.replaced_by_ordinal.is_(None)
    )
    if before is not None:
        place = session.scalar(
            select(AgentChatMessage.ord).where(
                AgentChatMessage.session_id == session_id, AgentChatMessage.message_id == before
            )
        )
        if place is None:
            raise InvalidRequest(
                "The message named by 'before' is not in this thread's history. Use 'nextBefore' of the last page.",
                errors=[{"pointer": "/query/before", "message": "not a message of this thread"}],
            )
        query = query.where(AgentChatMessage.ord < place)
    return list(session.scalars(query.order_by(AgentChatMessage.ord.desc()).limit(limit + 1)))


def _fold_live(session: Session, run: AgentRun) -> HistoryFold:
    folding = HistoryFold()
    payloads = session.scalars(
        select(AgentRunEvent.payload)
        .where(AgentRunEvent.session_id == run.session_id, AgentRunEvent.ordinal == run.ordinal)
        .order_by(AgentRunEvent.seq)
    )
    for payload in payloads:
        folding.apply(AgUiWireEvent.from_json(payload))
    return folding


def _first_of_run(rows: Sequence[AgentChatMessage], ordinal: int | None) -> int:
    """Return the place of the first message that a run was asked; the end when there is none."""
    asked = (place for place, row in enumerate(rows) if row.ordinal == ordinal and row.role != "tool")
    return next(asked, len(rows))


def _head(session: Session, thread: AgentChatSession) -> Cursor:
    last_seq = session.scalar(
        select(AgentRun.last_seq).where(
            AgentRun.session_id == thread.id, AgentRun.ordinal == thread.last_ordinal
        )
    )
    return Cursor(thread.last_ordinal, last_seq or 0)


def _open_interrupts(session: Session, session_id: int) -> list[dict[str, Any]]:
    rows = session.scalars(
        select(AgentInterrupt)
        .where(AgentInterrupt.session_id == session_id, AgentInterrupt.status == "open")
        .order_by(AgentInterrupt.id)
    )
    return [
        interrupt_body(
            interrupt_id=row.interrupt_id,
            reason=row.reason,
            message=row.message,
            tool_call_id=row.tool_call_id,
            response_schema=row.response_schema,
            expires_at=row.expires_at,
        )
        for row in rows
    ]


def _milliseconds(start: Any, end: Any) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)
