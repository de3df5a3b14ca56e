"""How the routes reach the runtime without importing AgentScope: accept and cancel.

The committed run row is the outbox: the worker hint goes out after the commit,
best effort, and the reaper repeats a lost one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from core.agentscope.events.append_writer import Publisher, StreamBatch
from core.agentscope.events.store import ENDED
from core.agentscope.runtime.acceptance import Acceptance
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.unstarted import end_unstarted
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import RunCommand, RunStatus
from core.agentscope.schemas.internal_events import RunFinished
from core.config import LimitSettings, WorkerSettings
from core.errors import LeaseLost, NotFound
from core.errors import RunFinished as RunAlreadyFinished
from core.identity import Principal
from models import AgentChatSession, AgentRun

_ATTEMPTS = 3
_RETRYABLE_SQLSTATES = frozenset({"40P01", "40001"})
"""Deadlock and serialisation failure: a repeat decides."""

_REQUEST_CANCEL = text("""
UPDATE agent_run SET
    cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
    cancel_reason = coalesce(cancel_reason, 'user')
WHERE id = :run_pk AND status = 'running' RETURNING id
""")

Result = TypeVar("Result")


class AgentRunGateway:
    """Makes runs durable and stops them; implements ``v1.agent.ports.RunGateway``."""

    def __init__(
        self,
        engine: AsyncEngine,
        hints: HintSender,
        publisher: Publisher,
        *,
        limits: LimitSettings,
        worker: WorkerSettings,
    ) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._hints = hints
        self._publisher = publisher
        self._limits = limits
        self._worker = worker

    async def accept(
        self, principal: Principal, command: RunCommand, *, idempotency_key: str, request_hash: bytes
    ) -> AcceptedRun:
        """Make a run durable, then hint a worker. See ``v1.agent.ports.RunGateway.accept``."""
        acceptance = Acceptance(principal, command, idempotency_key, request_hash, self._limits, self._worker)
        accepted, run_pk = await self._in_transaction(acceptance.accept)
        if accepted.created:
            # After the commit: a worker that is told earlier would find no run.
            await self._hints.send(run_pk, accepted.task_id)
        return accepted

    async def cancel(self, principal: Principal, thread_id: str, run_id: str) -> RunStatus:
        """Ask a run to stop; it is idempotent. See ``v1.agent.ports.RunGateway.cancel``."""

        async def unit(session: AsyncSession) -> RunStatus:
            run = await _newest_segment(session, principal, thread_id, run_id)
            if run.status in ENDED:
                if run.status == "cancelled":
                    return "cancelled"
                raise RunAlreadyFinished("The run has already ended; there is nothing to cancel.")
            if run.status == "queued":
                try:
                    shown = await end_unstarted(
                        await session.connection(), run, thread_id, RunFinished(outcome="cancelled")
                    )
                except LeaseLost:
                    # A worker took it between our look and our update: ask that worker.
                    pass
                else:
                    to_show.append(shown)
                    return "cancelled"
            await session.execute(_REQUEST_CANCEL, {"run_pk": run.id})
            to_tell.append(run.id)
            return "running"

        to_show: list[StreamBatch] = []
        to_tell: list[int] = []
        status = await self._in_transaction(unit)
        self._publisher.publish(to_show)
        for run_pk in to_tell:
            await self._hints.cancel(run_pk)
        return status

    async def _in_transaction(self, unit: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """Run a transaction; once more after it lost a race that a second look decides."""
        for _ in range(_ATTEMPTS - 1):
            try:
                async with self._sessions() as session, session.begin():
                    return await unit(session)
            except IntegrityError:
                # Another request inserted the same key or thread between our look and our insert.
                continue
            except DBAPIError as exc:
                if getattr(exc.orig, "sqlstate", None) not in _RETRYABLE_SQLSTATES:
                    raise
        async with self._sessions() as session, session.begin():
            return await unit(session)


async def _newest_segment(
    session: AsyncSession, principal: Principal, thread_id: str, run_id: str
) -> AgentRun:
    run = await session.scalar(
        select(AgentRun)
        .join(AgentChatSession, AgentChatSession.id == AgentRun.session_id)
        .where(
            AgentChatSession.tenant_id == principal.tenant_id,
            AgentChatSession.user_id == principal.user_id,
            AgentChatSession.thread_id == thread_id,
            AgentRun.run_id == run_id,
        )
        .order_by(AgentRun.segment.desc())
        .limit(1)
    )
    if run is None:
        raise NotFound("No such run in this thread.")
    return run
