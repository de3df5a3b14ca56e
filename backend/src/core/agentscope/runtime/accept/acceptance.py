"""T-accept: a request becomes a durable run, in one transaction.

Rules:

1. A repeat returns the run that the request made before, without further checks.
2. A request that exceeds a limit or a budget is refused before it locks anything.
3. The lock of the thread's row serialises everything that is accepted in the thread. Lock order: thread, user, queue,
   then run. The limits count again under the locks of user and queue (``places.py``).
4. In a thread without a live run, the run is queued at once: its messages get positions, and its state is stored.
5. The run has the agent of its thread (``agent_choice.py``).
6. Behind a live run, the run waits. It gets no ordinal and no positions before its promotion
   (``events/promotion.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.agentscope.events.epoch import floor_of
from core.agentscope.events.run_status import LIVE
from core.agentscope.runtime.accept.interrupts import (
    Answer,
    asking_agent,
    cancel_open,
    check_answers,
    refuse_if_open,
    write_answers,
)
from core.agentscope.runtime.accept.message_files import inline_data_bytes, with_named_files
from core.agentscope.runtime.accept.new_messages import NewMessages
from core.agentscope.runtime.accept.places import refuse_overload, take_place
from core.agentscope.runtime.accept.refusals import (
    refuse_spent_day,
    refuse_to_wait,
    run_active,
)
from core.agentscope.runtime.accept.repeats import find_repeat, next_segment
from core.agentscope.runtime.accept.request_messages import read_messages, write_messages
from core.agentscope.runtime.accept.run_request import RunRequest
from core.agentscope.runtime.accept.run_row import Accepted, RunInput, accepted_run, queued_run, waiting
from core.agentscope.runtime.accept.run_webhooks import keep_webhook
from core.agentscope.schemas.messages import ToolMessage
from core.config import LimitSettings, WorkerSettings
from core.connections.vault import Vault
from core.crash_points import crash_point
from core.rates.rate_limits import RateLimits
from core.stored_bytes import refuse_full
from models import AgentChatSession, AgentRun


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a run goes: its thread, locked, and the number of its row among those of the same run id."""

    thread: AgentChatSession
    is_new: bool
    segment: int
    room: int
    """How many more runs the queue took when the request came."""
    agent_id: str | None
    """The agent of the run, as it is stored."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One request to run, and the rules it is accepted under."""

    request: RunRequest
    limits: LimitSettings
    worker: WorkerSettings
    inline_bytes: int | None = None
    """Inline data of messages above this size becomes a file; ``None``: none does."""
    rates: RateLimits | None = None
    """Inline data is refused to who has uploaded too much lately."""
    vault: Vault | None = None
    """Seals the webhook of a run. Without it, no run has one of its own."""

    async def accept(self, session: AsyncSession) -> Accepted:
        """Accept inside the caller's transaction.

        Raises:
            RateLimited: Also of inline data, of a user who has uploaded too much.
            AgentBackendError: The refusals named by ``v1.agent.ports.RunGateway.accept``.
            InlineData: Data of a message is to be stored first; nothing was written.
            sqlalchemy.exc.IntegrityError: Another request won a race; a new transaction decides.
        """
        if repeat := await find_repeat(session, self.request):
            return repeat
        if (named := self.request.command.options().agent_id) is not None:
            self.request.agents.require(named)
        room = await refuse_overload(session, self.request.principal, self.limits)
        await refuse_spent_day(session, self.request.principal, self.limits)
        await refuse_full(await session.connection(), self.request.principal, self.limits)
        thread = await _lock_thread(session, self.request)
        if repeat := await find_repeat(session, self.request):
            # The same request, accepted while this one waited for the thread.
            return repeat
        segment = await next_segment(session, self.request, thread)
        is_new = thread.last_ordinal == 0
        agent_id = await self._agent(session, thread, is_new=is_new)
        place = _Place(thread, is_new, segment, room, agent_id)
        live = await session.scalar(
            select(AgentRun).where(AgentRun.session_id == thread.id, AgentRun.status.in_(LIVE))
        )
        if live is None:
            return await self._start_now(session, place)
        return await self._wait(session, place, live)

    async def _agent(self, session: AsyncSession, thread: AgentChatSession, *, is_new: bool) -> str | None:
        """Choose the agent of the run, which is the thread's from now on; an answer goes to the one that asked."""
        command = self.request.command
        agent_id = thread.agent_id
        if command.resume:
            # A run that waits behind the question may have switched the thread. Whoever cannot see it now answers nothing.
            if not is_new:
                self.request.agents.require_thread_of(agent_id)
            agent_id = await asking_agent(session, thread.id) or agent_id
        chosen = self.request.agents.choose(
            command.options(), agent_id, is_new=is_new, answers=bool(command.resume)
        )
        if not command.resume:
            thread.agent_id = chosen
        return chosen

    async def _start_now(self, session: AsyncSession, place: _Place) -> Accepted:
        """Queue the run: what it brings is in the thread at once."""
        thread, command = place.thread, self.request.command
        thread.last_ordinal = max(thread.last_ordinal, await floor_of(await session.connection()))
        now = await _now(session)
        answers = await self._answers(session, thread, now)
        messages, copy = await read_messages(session, thread, command, is_new=place.is_new)
        inline_bytes = self._inline_data(messages)
        messages = await self._with_files(session, thread, messages)
        snapshot = await copy.snapshot(messages, waits=False)
        brings_state = await copy.brings_state()
        run = self._queued(place, RunInput(messages, snapshot, brings_state=False), now)
        await take_place(session, self.request.principal, self.limits, room=place.room)
        await _insert(session, run)
        await keep_webhook(session, self.request, run, answers, self.vault)
        if brings_state:
            thread.state = command.state
        if answers:
            write_answers(answers, run, now)
        else:
            await cancel_open(session, thread.id, run, now)
        await write_messages(session, thread, run, messages)
        thread.last_ordinal += 1
        thread.updated_at = now
        told = accepted_run(run, thread.thread_id, created=True)
        return Accepted(told, run.id, inline_bytes=inline_bytes)

    async def _wait(self, session: AsyncSession, place: _Place, live: AgentRun) -> Accepted:
        """Put the run behind the live one: what it brings comes into the thread when its turn does."""
        thread, command = place.thread, self.request.command
        await refuse_to_wait(session, self.request, thread, live)
        now = await _now(session)
        messages, copy = await read_messages(session, thread, command, is_new=place.is_new)
        if any(isinstance(message, ToolMessage) for message in messages.fresh):
            # Whether the call of the answer will still be open is unknown until the live run has ended.
            raise run_active(thread, live)
        inline_bytes = self._inline_data(messages)
        messages = await self._with_files(session, thread, messages)
        snapshot = await copy.snapshot(messages, waits=True)
        given = RunInput(messages, snapshot, brings_state=await copy.brings_state())
        supersedes = command.options().on_busy == "supersede"
        run = waiting(self._queued(place, given, now), front=supersedes)
        await take_place(session, self.request.principal, self.limits, room=None)
        await _insert(session, run)
        await keep_webhook(session, self.request, run, (), self.vault)
        return Accepted(
            accepted_run(run, thread.thread_id, created=True),
            run.id,
            superseded=live if supersedes else None,
            inline_bytes=inline_bytes,
        )

    async def _answers(self, session: AsyncSession, thread: AgentChatSession, now: datetime) -> list[Answer]:
        command = self.request.command
        if command.resume:
            return await check_answers(session, thread.id, command.resume, now)
        if command.options().on_interrupt != "cancel":
            await refuse_if_open(session, thread.id)
        return []

    def _inline_data(self, messages: NewMessages) -> int:
        """Return how many bytes of inline data come; refuses them to who has uploaded too much lately."""
        size = inline_data_bytes(messages)
        if size and self.rates is not None:
            self.rates.check(self.request.principal, "upload-bytes")
        return size

    async def _with_files(
        self, session: AsyncSession, thread: AgentChatSession, messages: NewMessages
    ) -> NewMessages:
        connection = await session.connection()
        return await with_named_files(
            connection, self.request, thread.id, messages, inline_bytes=self.inline_bytes
        )

    def _queued(self, place: _Place, given: RunInput, now: datetime) -> AgentRun:
        run = queued_run(
            self.request, given, place.thread, place.segment, now, limits=self.limits, worker=self.worker
        )
        run.agent_id = place.agent_id
        return run


async def _lock_thread(session: AsyncSession, request: RunRequest) -> AgentChatSession:
    """Return the request's thread, locked; begins it when the principal has none of this id."""
    key = {
        "tenant_id": request.principal.tenant_id,
        "user_id": request.principal.user_id,
        "thread_id": request.command.thread_id,
    }
    thread: AgentChatSession | None = None
    while thread is None:
        # Again when the thread was deleted between the two: the request then begins a new one.
        await session.execute(insert(AgentChatSession).values(**key).on_conflict_do_nothing())
        thread = await session.scalar(
            select(AgentChatSession).filter_by(**key).with_for_update(key_share=True)
        )
    return thread


async def _now(session: AsyncSession) -> datetime:
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def _insert(session: AsyncSession, run: AgentRun) -> None:
    session.add(run)
    await session.flush()
    crash_point("accept-inserted")
