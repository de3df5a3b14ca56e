"""One consistent read of a thread: the state of a client that has seen every event, and the cursor to continue from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Text, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from core.agentscope.events.history_fold import leading_results
from core.agentscope.events.log_fold import LogFold, read_log_page
from core.agentscope.events.message_rows import to_message
from core.agentscope.events.queries.live_folds import LiveFolds
from core.agentscope.events.queries.thread_rows import get_thread_row, open_interrupts
from core.agentscope.events.queries.usage_totals import usage_of
from core.agentscope.events.run_status import LIVE
from core.agentscope.schemas.agent_runtime import (
    ActiveRun,
    Cursor,
    HistorySnapshotResponse,
)
from core.agentscope.schemas.links import events_url
from core.errors import InvalidRequest
from core.identity import Principal
from core.replica.reasons import NotFromReplica
from core.replica.replica import Replica
from models import AgentChatMessage, AgentChatSession, AgentRun

MAX_PAGE_BYTES = 4 << 20
"""A page ends with the message that reaches this size, or earlier."""
_TRIES = 3


class HistoryReader:
    """Reads threads of their owner."""

    def __init__(
        self, engine: AsyncEngine, default_agent: str | None = None, *, replica: Replica | None = None
    ) -> None:
        # One snapshot for messages, live events, interrupts and cursor: they belong together.
        self._snapshot_engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._engine = engine
        self._folds = LiveFolds(engine)
        self._default_agent = default_agent
        self._replica = replica

    async def history(
        self, principal: Principal, thread_id: str, *, limit: int, before: str | None
    ) -> HistorySnapshotResponse:
        """Return a page of a thread's messages, newest page first, with everything that belongs to it.

        A page has at most ``limit`` messages, and fewer if they are large (``MAX_PAGE_BYTES``). The newest page has the
        messages of the live run, too, whatever their size.

        Raises:
            NotFound: The caller has no such thread.
            InvalidRequest: ``before`` is not a message of the thread.
        """
        asked = _Asked(principal, thread_id, limit, before, self._default_agent)
        if self._replica is not None:
            try:
                async with self._replica.snapshot("history") as connection:
                    return await connection.run_sync(_read_idle, asked)
            except NotFromReplica:
                pass
        if before is not None:
            return await self._read(asked, LogFold(), 0)
        for _ in range(_TRIES):
            live = await self._find_live(asked)
            try:
                if live.ordinal is None:
                    self._folds.forget(live.session_id)
                    return await self._read(asked, None, 0)
                async with self._folds.held(live.session_id, live.ordinal) as log:
                    return await self._read(asked, log, live.ordinal)
            except _RunsChanged:
                # A run ended or began in between.
                continue
        return await self._read(asked, LogFold(), None)

    async def _find_live(self, asked: _Asked) -> _Live:
        async with self._engine.connect() as connection:
            return await connection.run_sync(_read_live, asked)

    async def _read(self, asked: _Asked, log: LogFold | None, ordinal: int | None) -> HistorySnapshotResponse:
        async with self._snapshot_engine.connect() as connection:
            return await connection.run_sync(_read_history, asked, log, ordinal)


class _RunsChanged(Exception):
    """The live run is not the one whose fold the caller holds."""


@dataclass(frozen=True, slots=True)
class _Asked:
    principal: Principal
    thread_id: str
    limit: int
    before: str | None
    default_agent: str | None


@dataclass(frozen=True, slots=True)
class _Live:
    session_id: int
    ordinal: int | None
    """Of the live run; none when the thread is idle."""


def _read_live(connection: Connection, asked: _Asked) -> _Live:
    with Session(connection) as session:
        thread = get_thread_row(session, asked.principal, asked.thread_id, asked.default_agent)
        run = _live_run(session, thread)
        return _Live(thread.id, None if run is None else run.ordinal)


def _read_idle(connection: Connection, asked: _Asked) -> HistorySnapshotResponse:
    """Read everything of a thread that has no live run, in a snapshot of the replica. A page of the past needs no such.

    Raises:
        NotFromReplica: There is a live run. What it has said is folded from the primary, once for all who ask.
    """
    try:
        return _read_history(connection, asked, None, None)
    except _RunsChanged:
        raise NotFromReplica("live") from None


def _live_run(session: Session, thread: AgentChatSession) -> AgentRun | None:
    return session.scalar(select(AgentRun).where(AgentRun.session_id == thread.id, AgentRun.status.in_(LIVE)))


def _read_history(
    connection: Connection, asked: _Asked, log: LogFold | None, ordinal: int | None
) -> HistorySnapshotResponse:
    """Read everything in one snapshot.

    Args:
        connection: Its transaction is the snapshot.
        asked: The request.
        log: The fold of the live run, as far as it was read; none when the thread seemed idle.
        ordinal: The run of ``log``; none for whichever is live.

    Raises:
        _RunsChanged: The live run is another.
    """
    with Session(connection) as session:
        thread = get_thread_row(session, asked.principal, asked.thread_id, asked.default_agent)
        live = _live_run(session, thread)
        told = live if asked.before is None else None
        if told is not None and (log is None or told.ordinal is None or ordinal not in (None, told.ordinal)):
            raise _RunsChanged
        rows, has_more = _page(session, thread.id, asked.limit, asked.before)
        messages = [to_message(row) for row in reversed(rows)]
        state = thread.state
        if told is not None and log is not None:
            _read_rest(connection, told, log)
            said = log.fold.snapshot()
            results = leading_results(said)
            at = _first_of_run(list(reversed(rows)), told.ordinal)
            messages = [*messages[:at], *results, *messages[at:], *said[len(results) :]]
            state = log.fold.state if log.fold.state_changed else state
        return HistorySnapshotResponse(
            thread_id=thread.thread_id,
            agent_id=thread.agent_id or asked.default_agent,
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


def _read_rest(connection: Connection, live: AgentRun, log: LogFold) -> None:
    """Fold what was committed between the last page and this snapshot."""
    if log.seq > live.last_seq:
        # The snapshot is of a server that lags behind the one the pages came from.
        raise _RunsChanged
    while log.seq < live.last_seq:
        page = read_log_page(connection, live.session_id, live.ordinal or 0, log.seq)
        if not page:
            return
        log.extend(page)


def _page(
    session: Session, session_id: int, limit: int, before: str | None
) -> tuple[list[AgentChatMessage], bool]:
    """Return the messages of a page, newest first, and whether there are older ones."""
    message = AgentChatMessage
    shown = (message.session_id == session_id, message.replaced_by_ordinal.is_(None))
    older = () if before is None else (message.position < _position(session, session_id, before),)
    columns = (message.content, message.tool_calls, message.extra)
    size = sum((func.coalesce(func.octet_length(cast(column, Text)), 0) for column in columns), literal(0))
    newest = (
        select(message.id, message.position, size.label("size"))
        .where(*shown, *older)
        .order_by(message.position.desc())
        .limit(limit + 1)
        .subquery()
    )
    newer_bytes = func.sum(newest.c.size).over(order_by=newest.c.position.desc()) - newest.c.size
    placed = select(
        newest.c.id, newer_bytes.label("newer_bytes"), func.count().over().label("found")
    ).subquery()
    found = session.execute(
        select(message, placed.c.found)
        .join(placed, placed.c.id == message.id)
        .where(placed.c.newer_bytes < MAX_PAGE_BYTES)
        .order_by(message.position.desc())
    ).all()
    rows = [row for row, _ in found[:limit]]
    return rows, bool(found) and found[0].found > len(rows)


def _position(session: Session, session_id: int, message_id: str) -> int:
    position = session.scalar(
        select(AgentChatMessage.position).where(
            AgentChatMessage.session_id == session_id, AgentChatMessage.message_id == message_id
        )
    )
    if position is None:
        raise InvalidRequest(
            "The message named by 'before' is not in this thread's history. Use 'nextBefore' of the last page.",
            errors=[{"pointer": "/query/before", "message": "not a message of this thread"}],
        )
    return position


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
