"""Threads of their owner: list, look up, rename, delete; implements ``v1.agent.ports.ThreadDirectory``.

Deleting has three steps: end the unfinished runs, delete the log, delete the thread. Each step is durable before the
next, and a repeated request completes a deletion that a crash interrupted. The rows of the runs are deleted too, so a
worker that still executes one of the runs is fenced.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from core.agentscope.events.ending import Ended, end_and_promote, end_from_log, promote, unstarted_end
from core.agentscope.events.owned_run import OwnedRun, Publisher
from core.agentscope.events.queries.thread_list import ThreadList
from core.agentscope.events.retention import prune_events
from core.agentscope.events.run_status import LIVE, QUEUED
from core.agentscope.events.run_summary import AgentName, nameless
from core.agentscope.events.status_sql import status_text
from core.agentscope.runtime.accept.after_commit import AfterCommit, in_transaction
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.profile.agents import DEFAULT_ID
from core.agentscope.schemas.internal_events import RunFinished
from core.agentscope.schemas.threads import ThreadItem, ThreadListResponse
from core.errors import NotFound
from core.files.catalogue import StoredBytes, drop_unnamed, leave_thread
from core.files.library import FileLibrary
from core.identity import Principal
from core.replica.replica import Replica
from models import AgentChatSession, AgentRun

_CANCELLED = RunFinished(outcome="cancelled")

# An open interrupt would keep the waiting runs where they are.
_WITHDRAW = status_text("""
UPDATE agent_interrupt SET status = {cancelled_interrupt}, resolved_at = clock_timestamp()
WHERE session_id = :session_id AND status = {open_interrupt}
""")

_CANCEL_WAITING = status_text("""
UPDATE agent_run SET
    cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
    cancel_reason = coalesce(cancel_reason, 'user')
WHERE session_id = :session_id AND status = {waiting}
""")


class ThreadTail(Protocol):
    """The live tail of a thread."""

    async def forget(self, session_id: int) -> None: ...


class ThreadRemoval(Protocol):
    """Removes what belongs to a thread. A deletion by its owner leaves the rows to the foreign keys."""

    async def log_of(self, session_id: int, upto: int) -> None:
        """Delete the log of a thread, whose runs up to an ordinal have ended."""
        ...

    async def rows_of(self, connection: AsyncConnection, session_id: int) -> None:
        """Delete the rest, in a transaction that has the locks of the thread and of its runs."""
        ...


class _PlainRemoval:
    """The removal of a thread that its owner deletes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def log_of(self, session_id: int, upto: int) -> None:
        # In batches, and before the thread: one statement over a long log could outlast its time limit.
        await prune_events(self._engine, session_id, upto)

    async def rows_of(self, connection: AsyncConnection, session_id: int) -> None:
        await connection.execute(delete(AgentChatSession).where(AgentChatSession.id == session_id))


class AgentThreads:
    """The threads of a process' callers."""

    def __init__(
        self,
        engine: AsyncEngine,
        hints: HintSender,
        publisher: Publisher,
        tail: ThreadTail,
        *,
        agent: AgentName = nameless,
        default_agent: str = DEFAULT_ID,
        files: FileLibrary | None = None,
        replica: Replica | None = None,
    ) -> None:
        self._engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._list = ThreadList(engine, default_agent, replica=replica)
        self._default_agent = default_agent
        self._hints = hints
        self._publisher = publisher
        self._tail = tail
        self._agent = agent
        self._files = files

    async def list_threads(
        self,
        principal: Principal,
        *,
        limit: int,
        before: str | None,
        query: str | None,
        agent_id: str | None = None,
    ) -> ThreadListResponse:
        """Return a page of the caller's threads. See ``ThreadList.list_threads``."""
        return await self._list.list_threads(
            principal, limit=limit, before=before, query=query, agent_id=agent_id
        )

    async def get_thread(self, principal: Principal, thread_id: str) -> ThreadItem:
        """Return one thread. See ``ThreadList.get_thread``."""
        return await self._list.get_thread(principal, thread_id)

    async def rename_thread(self, principal: Principal, thread_id: str, title: str) -> ThreadItem:
        """Give a thread another title; its place among the threads stays.

        Raises:
            NotFound: The caller has no such thread.
        """

        async def unit(session: AsyncSession) -> None:
            (await self._lock(session, principal, thread_id)).title = title

        await in_transaction(self._sessions, unit)
        return await self._list.get_thread(principal, thread_id)

    async def delete_idle(self, principal: Principal, thread_id: str, before: datetime) -> None:
        """Delete a thread like its owner does, unless something has happened in it since a time.

        Raises:
            NotFound: There is none, or something has.
        """
        await self.delete_thread(principal, thread_id, idle_since=before)

    async def end_runs(
        self, principal: Principal, thread_id: str, *, idle_since: datetime | None = None
    ) -> AgentChatSession:
        """End every run of a thread as cancelled, and withdraw its questions. Workers that execute one are fenced.

        Raises:
            NotFound: The principal has no such thread, or something has happened in it since ``idle_since``.
        """
        after = AfterCommit(self._agent)

        async def end(session: AsyncSession) -> AgentChatSession:
            after.clear()
            thread = await self._lock(session, principal, thread_id, idle_since)
            await _end_runs(session, thread, after)
            return thread

        thread = await in_transaction(self._sessions, end)
        await after.tell(self._publisher, self._hints)
        return thread

    async def delete_thread(
        self,
        principal: Principal,
        thread_id: str,
        removal: ThreadRemoval | None = None,
        *,
        idle_since: datetime | None = None,
    ) -> None:
        """Delete a thread with everything that belongs to it; unended runs end as cancelled first.

        Messages, runs, events, interrupts, checkpoints and the live tail go, and files that no other thread names. What
        the user asked the agent to remember is the user's and stays; so does what
        model calls used, without the thread's name.

        Args:
            principal: Whose thread.
            thread_id: The thread.
            removal: Removes the rows, and counts them; by default the foreign keys do.
            idle_since: Only if nothing has happened in the thread since.

        Raises:
            NotFound: The caller has no such thread.
        """
        after = AfterCommit(self._agent)
        removal = removal or _PlainRemoval(self._engine)
        unnamed: list[StoredBytes] = []

        async def drop(session: AsyncSession) -> None:
            after.clear()
            # Once more: a run that its user has begun since the first step stays, and so does the thread.
            thread = await self._lock(session, principal, thread_id, ended.updated_at if idle_since else None)
            # The full lock of the runs, before any other step: a checkpoint or a model call that is being written holds
            # its run's lock and then takes more locks, so a lock that is upgraded later could deadlock.
            await session.execute(
                select(AgentRun.id).where(AgentRun.session_id == thread.id).with_for_update()
            )
            await _end_runs(session, thread, after)
            connection = await session.connection()
            named = await leave_thread(connection, thread.id)
            await removal.rows_of(connection, thread.id)
            unnamed[:] = await drop_unnamed(connection, named)

        thread = ended = await self.end_runs(principal, thread_id, idle_since=idle_since)
        await removal.log_of(thread.id, thread.last_ordinal)
        try:
            await in_transaction(self._sessions, drop)
        except NotFound:
            if idle_since is not None:
                raise
            # Deleted twice at once: the other request was faster.
            after.clear()
            unnamed.clear()
        await after.tell(self._publisher, self._hints)
        await self._tail.forget(thread.id)
        if self._files is not None:
            await self._files.remove(unnamed)

    async def _lock(
        self,
        session: AsyncSession,
        principal: Principal,
        thread_id: str,
        idle_since: datetime | None = None,
    ) -> AgentChatSession:
        thread = await session.scalar(
            select(AgentChatSession)
            .filter_by(tenant_id=principal.tenant_id, user_id=principal.user_id, thread_id=thread_id)
            .with_for_update(key_share=True)
        )
        if thread is None or not principal.may_see(thread.agent_id or self._default_agent):
            raise NotFound("No such thread.")
        if idle_since is not None and thread.updated_at > idle_since:
            raise NotFound("The thread is in use.")
        return thread


async def _end_runs(session: AsyncSession, thread: AgentChatSession, after: AfterCommit) -> None:
    """End the live run without its worker, and every run that waits behind it."""
    await session.execute(_WITHDRAW, {"session_id": thread.id})
    await session.execute(_CANCEL_WAITING, {"session_id": thread.id})
    connection = await session.connection()
    run = await session.scalar(
        select(AgentRun)
        .where(AgentRun.session_id == thread.id, AgentRun.status.in_(LIVE))
        .with_for_update(key_share=True)
    )
    if run is None:
        ended = Ended()
        await promote(connection, thread.id, ended)
    else:
        owned = OwnedRun(run.id, run.session_id, run.ordinal or 0, run.attempt, run.last_seq)
        end = (
            unstarted_end(thread.thread_id, run.run_id, _CANCELLED, started=run.last_seq > 0)
            if run.status == QUEUED
            else await end_from_log(connection, owned, thread.thread_id, run.run_id, _CANCELLED)
        )
        ended = await end_and_promote(connection, owned, end)
        after.to_stop.append(run.id)
    after.note(ended)
    await session.refresh(thread)
