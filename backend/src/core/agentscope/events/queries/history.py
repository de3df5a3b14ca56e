"""One consistent read of a thread: the state of a client that has seen every event, and the cursor to continue from."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from core.agentscope.events.history_fold import HistoryFold, leading_results
from core.agentscope.events.message_rows import to_message
from core.agentscope.events.queries.thread_rows import get_thread_row, open_interrupts
from core.agentscope.events.queries.usage_totals import usage_of
from core.agentscope.events.run_status import LIVE
from core.agentscope.schemas.agent_runtime import (
    ActiveRun,
    AgUiWireEvent,
    Cursor,
    HistorySnapshotResponse,
)
from core.agentscope.schemas.links import events_url
from core.errors import InvalidRequest
from core.identity import Principal
from models import AgentChatMessage, AgentChatSession, AgentRun, AgentRunEvent


class HistoryReader:
    """Reads threads of their owner."""

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


def _read_history(
    connection: Connection, principal: Principal, thread_id: str, limit: int, before: str | None
) -> HistorySnapshotResponse:
    with Session(connection) as session:
        thread = get_thread_row(session, principal, thread_id)
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
            pending_interrupts=open_interrupts(session, thread.id),
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


def _page(session: Session, session_id: int, limit: int, before: str | None) -> list[AgentChatMessage]:
    """Return up to ``limit + 1`` messages, newest first."""
    query = select(AgentChatMessage).where(
        AgentChatMessage.session_id == session_id, AgentChatMessage.replaced_by_ordinal.is_(None)
    )
    if before is not None:
        position = session.scalar(
            select(AgentChatMessage.position).where(
                AgentChatMessage.session_id == session_id, AgentChatMessage.message_id == before
            )
        )
        if position is None:
            raise InvalidRequest(
                "The message named by 'before' is not in this thread's history. Use 'nextBefore' of the last page.",
                errors=[{"pointer": "/query/before", "message": "not a message of this thread"}],
            )
        query = query.where(AgentChatMessage.position < position)
    return list(session.scalars(query.order_by(AgentChatMessage.position.desc()).limit(limit + 1)))


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
