"""T-accept: ownership, idempotency, one live run per thread, new messages and answers, in one transaction.

Lock order: thread, then run. The thread's row serialises everything that is
accepted on it.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.agentscope.events.client_calls import KNOWN_CALLS, OPEN_CLIENT_CALLS
from core.agentscope.events.ledger.budget_store import DayLimits, used_up_for
from core.agentscope.events.message_rows import to_row
from core.agentscope.events.promotion import BRINGS_STATE
from core.agentscope.runtime.accept.client_copy import ClientCopy
from core.agentscope.runtime.accept.interrupts import (
    Answer,
    cancel_open,
    check_answers,
    refuse_if_open,
    write_answers,
)
from core.agentscope.runtime.accept.new_messages import NewMessages, select_new_messages
from core.agentscope.runtime.accept.regeneration import replace_from
from core.agentscope.runtime.profile.run_budget import used_up
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import MessagesSnapshotMode, RunCommand
from core.agentscope.schemas.links import events_url
from core.agentscope.schemas.messages import ToolMessage, UserMessage
from core.agentscope.schemas.titles import title_of
from core.config import LimitSettings, WorkerSettings
from core.crash_points import crash_point
from core.errors import (
    BudgetExhausted,
    IdempotencyMismatch,
    InvalidRequest,
    Overloaded,
    QueueFull,
    RateLimited,
    RunActive,
)
from core.identity import Principal
from models import AgentChatMessage, AgentChatSession, AgentRun

MAX_WAITING = 8
"""Runs that may wait behind a thread's live run."""
LIVE = ("queued", "running")
UNENDED = ("waiting", "queued", "running")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run that is durable once the transaction is, and the live run it asks to stop."""

    run: AcceptedRun
    run_pk: int
    superseded: AgentRun | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One request to run, and the rules it is accepted under."""

    principal: Principal
    command: RunCommand
    idempotency_key: str
    request_hash: bytes
    limits: LimitSettings
    worker: WorkerSettings

    async def accept(self, session: AsyncSession) -> Accepted:
        """Accept inside the caller's transaction.

        Raises:
            AgentBackendError: The refusals named by ``v1.agent.ports.RunGateway.accept``.
            sqlalchemy.exc.IntegrityError: Another request won a race; a new transaction decides.
        """
        if repeat := await self._find_repeat(session):
            return repeat
        await self._refuse_overload(session)
        await self._refuse_spent(session)
        thread, is_new = await self._lock_thread(session)
        if repeat := await self._find_repeat(session):
            # The same request, accepted while this one waited for the thread.
            return repeat
        segment = await self._segment(session, thread)
        live = await self._live(session, thread)
        now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
        answers = [] if live is not None else await self._answers(session, thread, now)
        messages, copy = await self._messages(session, thread, is_new=is_new)
        if live is not None and any(isinstance(message, ToolMessage) for message in messages.fresh):
            # Whether its call is still open then, nobody knows before the live run has ended.
            raise _run_active(thread, live)
        snapshot = await copy.snapshot(messages, waits=live is not None)
        brings_state = await copy.brings_state()
        run = self._run(
            thread, messages, segment, now, snapshot=snapshot, brings_state=brings_state and live is not None
        )
        if live is not None:
            # Its messages take their place in history when its turn comes, and its state that of the thread's.
            run.status, run.ordinal = "waiting", None
            run.front = self.command.options().on_busy == "supersede"
        session.add(run)
        await session.flush()
        crash_point("accept-inserted")
        if brings_state and live is None:
            thread.state = self.command.state
        superseded = live if live is not None and run.front else None
        if live is None:
            if answers:
                await write_answers(session, answers, run, now)
            else:
                await cancel_open(session, thread.id, run, now)
            await self._write_messages(session, thread, run, messages)
            thread.last_ordinal += 1
            thread.updated_at = now
        return Accepted(_accepted(run, thread.thread_id, created=True), run.id, superseded)

    async def _find_repeat(self, session: AsyncSession) -> Accepted | None:
        """Return the run this request already made; refuses the key with another body.

        A body that answers interrupts is a continuation, whatever its run id:
        CopilotKit resumes under the interrupted run's own id.
        """
        rows = (
            await session.execute(
                select(AgentRun, AgentChatSession.thread_id)
                .join(AgentChatSession, AgentChatSession.id == AgentRun.session_id)
                .where(
                    AgentRun.tenant_id == self.principal.tenant_id,
                    AgentRun.user_id == self.principal.user_id,
                    AgentRun.idempotency_key == self.idempotency_key,
                )
            )
        ).all()
        for run, thread_id in rows:
            if run.request_hash == self.request_hash:
                return Accepted(_accepted(run, thread_id, created=False), run.id)
        if rows and not self.command.resume:
            raise IdempotencyMismatch(
                "This run id or Idempotency-Key was already used with another body. Repeat the first body, or use a new id."
            )
        return None

    async def _refuse_overload(self, session: AsyncSession) -> None:
        # By its deadline, not its creation: a run that waited behind another enters the queue when its turn comes.
        row = (
            await session.execute(
                select(
                    func.count(),
                    func.extract("epoch", func.min(AgentRun.queue_deadline_at) - func.clock_timestamp()),
                ).where(AgentRun.status == "queued")
            )
        ).one()
        queued, seconds_left = cast("tuple[int, Decimal | None]", tuple(row))
        oldest_seconds = 0.0 if seconds_left is None else self.limits.queue_seconds - float(seconds_left)
        if queued >= self.limits.max_queued_runs or oldest_seconds > self.limits.max_queue_age_seconds:
            raise Overloaded("Too many runs wait for a worker. Try again shortly.", retry_after_seconds=5.0)
        unended = await session.scalar(
            select(func.count())
            .select_from(AgentRun)
            .where(
                AgentRun.tenant_id == self.principal.tenant_id,
                AgentRun.user_id == self.principal.user_id,
                AgentRun.status.in_(UNENDED),
            )
        )
        if (unended or 0) >= self.limits.max_runs_per_user:
            raise RateLimited(
                f"You already have {unended} unfinished runs. Wait for one to end.", retry_after_seconds=5.0
            )

    async def _refuse_spent(self, session: AsyncSession) -> None:
        """Refuse a user whose day is used up; what runs have only reserved may still come back."""
        day = DayLimits(self.limits.user_tokens_per_day, self.limits.user_cost_per_day)
        if not day.any:
            return
        seconds = await used_up_for(await session.connection(), self.principal, day)
        if seconds is not None:
            raise BudgetExhausted(used_up(day), retry_after_seconds=math.ceil(seconds))

    async def _lock_thread(self, session: AsyncSession) -> tuple[AgentChatSession, bool]:
        owner = {"tenant_id": self.principal.tenant_id, "user_id": self.principal.user_id}
        thread: AgentChatSession | None = None
        while thread is None:
            # Again when the thread was deleted between the two: the request then begins a new one.
            await session.execute(
                insert(AgentChatSession)
                .values(**owner, thread_id=self.command.thread_id)
                .on_conflict_do_nothing()
            )
            thread = await session.scalar(
                select(AgentChatSession)
                .filter_by(**owner, thread_id=self.command.thread_id)
                .with_for_update(key_share=True)
            )
        return thread, thread.last_ordinal == 0

    async def _segment(self, session: AsyncSession, thread: AgentChatSession) -> int:
        """Return the number of this row of the run: 0, or one more for each resume under its id."""
        rows = (
            await session.execute(
                select(AgentRun.segment, AgentRun.session_id)
                .where(
                    AgentRun.tenant_id == self.principal.tenant_id,
                    AgentRun.user_id == self.principal.user_id,
                    (AgentRun.idempotency_key == self.idempotency_key)
                    | ((AgentRun.session_id == thread.id) & (AgentRun.run_id == self.command.run_id)),
                )
                .order_by(AgentRun.segment)
            )
        ).all()
        if not rows:
            return 0
        segment, session_id = rows[-1]
        if not self.command.resume or session_id != thread.id:
            raise IdempotencyMismatch("This run id was already used for another request. Use a new id.")
        return segment + 1

    async def _live(self, session: AsyncSession, thread: AgentChatSession) -> AgentRun | None:
        """Return the live run this one will wait behind; ``None`` when it can be queued at once."""
        live = await session.scalar(
            select(AgentRun).where(AgentRun.session_id == thread.id, AgentRun.status.in_(LIVE))
        )
        if live is None:
            return None
        options = self.command.options()
        # An answer, and what is to be replaced, belong to the thread as the client saw it.
        if self.command.resume or options.regenerate_from or options.on_busy == "reject":
            raise _run_active(thread, live)
        waiting = await session.scalar(
            select(func.count())
            .select_from(AgentRun)
            .where(
                AgentRun.session_id == thread.id,
                AgentRun.status == "waiting",
                AgentRun.cancel_requested_at.is_(None),
            )
        )
        if (waiting or 0) >= MAX_WAITING:
            raise QueueFull(
                f"{MAX_WAITING} runs already wait on this thread. Wait for one to end.",
                retry_after_seconds=5.0,
            )
        return live

    async def _answers(self, session: AsyncSession, thread: AgentChatSession, now: datetime) -> list[Answer]:
        if self.command.resume:
            return await check_answers(session, thread.id, self.command.resume, now)
        if self.command.options().on_interrupt != "cancel":
            await refuse_if_open(session, thread.id)
        return []

    async def _messages(
        self, session: AsyncSession, thread: AgentChatSession, *, is_new: bool
    ) -> tuple[NewMessages, ClientCopy]:
        """Return the messages that count, and what the others tell of the client's own copy of the thread."""
        replaced_from = self.command.options().regenerate_from
        if replaced_from and self.command.resume:
            raise InvalidRequest(
                "'resume' goes on with what 'regenerateFrom' replaces: send one of them.",
                errors=[{"pointer": "/forwardedProps/regenerateFrom", "message": "excludes /resume"}],
            )
        ids = [message.id for message in self.command.messages]
        known = set(
            await session.scalars(
                select(AgentChatMessage.message_id).where(
                    AgentChatMessage.session_id == thread.id, AgentChatMessage.message_id.in_(ids)
                )
            )
        )
        open_calls: set[str] = set()
        settled_calls: set[str] = set()
        if not is_new and not replaced_from:
            open_calls, settled_calls = await self._tool_calls(session, thread, known)
        messages = select_new_messages(
            self.command.messages,
            known_ids=known,
            open_tool_calls=open_calls,
            settled_tool_calls=settled_calls,
            thread_is_new=is_new,
            strict_tool_results=not self.command.resume and not replaced_from,
        )
        if replaced_from:
            again = await replace_from(
                session,
                thread,
                replaced_from,
                self.command.messages,
                answered_instead=bool(messages.fresh),
            )
            messages = replace(messages, again=() if again is None else (again,))
        if not messages.fresh and not messages.again and not self.command.resume:
            raise InvalidRequest(
                """Nothing to answer: send at least one user message with an id this thread does not know, or name \
the message that is to be answered again in forwardedProps.regenerateFrom.""",
                errors=[{"pointer": "/messages", "message": "no new user message"}],
            )
        return messages, ClientCopy(session, thread, self.command, known)

    async def _tool_calls(
        self, session: AsyncSession, thread: AgentChatSession, known: Collection[str]
    ) -> tuple[set[str], set[str]]:
        """Return the thread's calls that the request answers: those that wait for the client, and all others."""
        answered = {
            message.tool_call_id
            for message in self.command.messages
            if isinstance(message, ToolMessage) and message.id not in known
        }
        if not answered:
            return set(), set()
        waiting = set(await session.scalars(OPEN_CLIENT_CALLS, {"session_id": thread.id}))
        calls = await session.scalars(KNOWN_CALLS, {"session_id": thread.id, "call_ids": list(answered)})
        return answered & waiting, set(calls) - waiting

    def _run(
        self,
        thread: AgentChatSession,
        messages: NewMessages,
        segment: int,
        now: datetime,
        *,
        snapshot: MessagesSnapshotMode,
        brings_state: bool,
    ) -> AgentRun:
        kept = self.command.wire() | {
            "messages": [
                message.wire() for message in (*messages.imported, *messages.again, *messages.fresh)
            ],
            "forwardedProps": self.command.forwarded_props | {"messagesSnapshot": snapshot},
            # For its promotion; a client's own member of this name counts for nothing.
            BRINGS_STATE: brings_state,
        }
        return AgentRun(
            session_id=thread.id,
            tenant_id=self.principal.tenant_id,
            user_id=self.principal.user_id,
            run_id=self.command.run_id,
            segment=segment,
            parent_run_id=self.command.parent_run_id,
            task_id=uuid.uuid4().hex,
            idempotency_key=self.idempotency_key,
            request_hash=self.request_hash,
            input=json.dumps(kept, ensure_ascii=False),
            protocol_version=self.command.protocol_version,
            status="queued",
            ordinal=thread.last_ordinal + 1,
            next_kick_at=now + timedelta(seconds=self.worker.kick_after_seconds),
            queue_deadline_at=now + timedelta(seconds=self.limits.queue_seconds),
        )

    async def _write_messages(
        self, session: AsyncSession, thread: AgentChatSession, run: AgentRun, messages: NewMessages
    ) -> None:
        rows: list[dict[str, Any]] = []
        for group, imported in ((messages.imported, True), (messages.fresh, False)):
            for message in group:
                thread.last_ord += 1
                rows.append(
                    to_row(
                        message.wire(),
                        session_id=thread.id,
                        position=thread.last_ord,
                        ordinal=run.ordinal or 0,
                        imported=imported,
                    )
                )
        if rows:
            await session.execute(insert(AgentChatMessage), rows)
        if thread.title is None:
            thread.title = _first_title((*messages.imported, *messages.fresh))


def _first_title(messages: Sequence[object]) -> str | None:
    first = next((message for message in messages if isinstance(message, UserMessage)), None)
    return None if first is None else title_of(first)


def _run_active(thread: AgentChatSession, live: AgentRun) -> RunActive:
    return RunActive(
        "The thread has a live run. Follow it, wait for its end, or cancel it.",
        retry_after_seconds=2.0,
        runId=live.run_id,
        eventsUrl=events_url(thread.thread_id, live.run_id),
    )


def _accepted(run: AgentRun, thread_id: str, *, created: bool) -> AcceptedRun:
    return AcceptedRun(
        task_id=run.task_id,
        thread_id=thread_id,
        run_id=run.run_id,
        status=run.status,  # pyright: ignore[reportArgumentType]  the column's check constraint
        ordinal=run.ordinal,
        created=created,
    )
