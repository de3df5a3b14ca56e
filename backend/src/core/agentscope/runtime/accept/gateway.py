"""Accept and cancel for the routes, without importing AgentScope.

The committed row of a run is the outbox of its hint: the hint is sent after the commit, best effort, and the reaper
sends a lost hint again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from core.agentscope.events import interrupt_status
from core.agentscope.events.ending import Ended, end_and_promote, promote, unstarted_end
from core.agentscope.events.owned_run import OwnedRun, Publisher
from core.agentscope.events.run_spans import run_attributes
from core.agentscope.events.run_status import CANCELLED, ENDED, INTERRUPTED, QUEUED, RUNNING, WAITING
from core.agentscope.events.run_summary import AgentName, nameless
from core.agentscope.events.status_sql import status_text
from core.agentscope.events.thread_row import lock_thread
from core.agentscope.runtime.accept.acceptance import Acceptance
from core.agentscope.runtime.accept.after_commit import AfterCommit, in_transaction
from core.agentscope.runtime.accept.agent_choice import AgentsFor, only_agent
from core.agentscope.runtime.accept.message_files import InlineData, InlineFiles
from core.agentscope.runtime.accept.repeats import find_repeat
from core.agentscope.runtime.accept.run_request import RunRequest
from core.agentscope.runtime.accept.run_row import Accepted
from core.agentscope.runtime.accept.user_turns import UserTurns
from core.agentscope.runtime.accept.usual import UsualAcceptance
from core.agentscope.runtime.hints import Hints
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import RunCommand, RunStatus
from core.agentscope.schemas.internal_events import RunFinished
from core.config import LimitSettings, WorkerSettings
from core.connections.vault import Vault
from core.crash_points import crash_point
from core.errors import FilesUnavailable, LeaseLost, NotFound, RunAlreadyFinished
from core.files.library import FileLibrary
from core.gate import PoolGates
from core.identity import Principal
from core.rates.rate_limits import RateLimits
from core.tracing.conventions import ACCEPT
from core.tracing.tracer import current_context, span
from core.webhooks.run_webhook import RunWebhook
from models import AgentChatSession, AgentInterrupt, AgentRun

_REQUEST_CANCEL = status_text("""
UPDATE agent_run SET
    cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
    cancel_reason = coalesce(cancel_reason, 'user')
-- Queued too: its turn may come between our look and this update.
WHERE id = :run_pk AND status IN {unended}
""")


class AgentRunGateway:
    """Makes runs durable and stops them; implements ``v1.agent.ports.RunGateway``."""

    def __init__(
        self,
        engine: AsyncEngine,
        hints: Hints,
        publisher: Publisher,
        gates: PoolGates,
        *,
        limits: LimitSettings,
        worker: WorkerSettings,
        agent: AgentName = nameless,
        agents: AgentsFor = only_agent,
        files: FileLibrary | None = None,
        rates: RateLimits | None = None,
        vault: Vault | None = None,
    ) -> None:
        self._rates = rates
        self._vault = vault
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._hints = hints
        self._agent = agent
        self._agents = agents
        self._publisher = publisher
        self._gates = gates
        self._limits = limits
        self._worker = worker
        self._files = files
        self._inline_bytes = None if files is None else files.settings.inline_bytes
        self._usual = UsualAcceptance(engine, limits, worker, self._inline_bytes, rates)
        self._turns = UserTurns(limits.max_runs_per_user)

    async def accept(
        self,
        principal: Principal,
        command: RunCommand,
        *,
        idempotency_key: str,
        request_hash: bytes,
        webhook: RunWebhook | None = None,
    ) -> AcceptedRun:
        """Make a run durable, then hint a worker. See ``v1.agent.ports.RunGateway.accept``."""
        with span(ACCEPT, run_attributes(principal, command), kind="server"):
            request = self._request(principal, command, idempotency_key, request_hash, webhook)
            return await self._accept(request)

    async def _accept(self, request: RunRequest) -> AcceptedRun:
        principal = request.principal
        acceptance = Acceptance(
            request, self._limits, self._worker, self._inline_bytes, self._rates, self._vault
        )
        after = AfterCommit(self._agent)

        async def unit(session: AsyncSession) -> Accepted:
            after.clear()
            accepted = await acceptance.accept(session)
            if accepted.superseded is not None:
                await _stop_run(session, accepted.superseded, accepted.run.thread_id, after)
            return accepted

        async with self._turns.turn(principal):
            accepted = None
            # The function of the database knows who may use an agent, and not to whose threads a credential is limited.
            # Nor does it know what a run has named itself.
            if principal.agents is None and request.webhook is None:
                async with self._gates.usual:
                    accepted = await self._usual.accept(request)
            if accepted is None:
                accepted = await self._accept_carefully(principal, unit)
        crash_point("accept-committed")
        self._count_upload(principal, accepted.inline_bytes)
        if accepted.run.created and accepted.run.status == QUEUED:
            after.to_start[accepted.run_pk] = accepted.run.task_id
        await after.tell(self._publisher, self._hints)
        crash_point("accept-hinted")
        return accepted.run

    async def find_accepted(
        self, principal: Principal, command: RunCommand, *, idempotency_key: str, request_hash: bytes
    ) -> AcceptedRun | None:
        """Find the run of a repeated request. See ``v1.agent.ports.RunGateway.find_accepted``."""
        request = self._request(principal, command, idempotency_key, request_hash)
        # In turn, like what is accepted: these are the requests of users who send too many.
        async with self._turns.turn(principal), self._gates.careful, self._sessions() as session:
            found = await find_repeat(session, request)
        return None if found is None else found.run

    def _request(
        self,
        principal: Principal,
        command: RunCommand,
        idempotency_key: str,
        request_hash: bytes,
        webhook: RunWebhook | None = None,
    ) -> RunRequest:
        context = current_context()
        return RunRequest(
            principal,
            command,
            idempotency_key,
            request_hash,
            self._agents(principal),
            trace_context=None if context is None else str(context),
            webhook=webhook,
        )

    async def _accept_carefully(
        self, principal: Principal, unit: Callable[[AsyncSession], Awaitable[Accepted]]
    ) -> Accepted:
        """Accept by a transaction of many steps; after a first one that found data to be stored, by a second one."""
        try:
            async with self._gates.careful:
                return await in_transaction(self._sessions, unit)
        except InlineData as exc:
            if self._files is None:
                raise
            found, inline = exc.found, InlineFiles(self._files, principal)
        try:
            # Between the transactions: nothing waits for the store with a connection or a lock.
            await inline.store(found)
            async with self._gates.careful:
                return await in_transaction(self._sessions, unit)
        except BaseException as exc:
            # The run is not accepted, but its data was uploaded.
            self._count_upload(principal, sum(len(data.content) for data in found.values()))
            if isinstance(exc, InlineData):
                why = "An attachment was deleted while it was stored. Send it again."
                raise FilesUnavailable(why) from exc
            raise
        finally:
            await inline.take_back()

    def _count_upload(self, principal: Principal, size: int) -> None:
        if size and self._rates is not None:
            self._rates.take(principal, "upload-bytes", size)

    async def cancel(
        self, principal: Principal, thread_id: str, run_id: str, *, withdraw: bool = True
    ) -> RunStatus:
        """Ask a run to stop; it is idempotent. See ``v1.agent.ports.RunGateway.cancel``."""
        after = AfterCommit(self._agent)

        async def unit(session: AsyncSession) -> RunStatus:
            after.clear()
            run = await self._newest_segment(session, principal, thread_id, run_id)
            if withdraw and run.status == INTERRUPTED and await _withdraw_interrupts(session, run):
                return CANCELLED
            if run.status in ENDED:
                if run.status == CANCELLED:
                    return CANCELLED
                raise RunAlreadyFinished("The run has already ended; there is nothing to cancel.")
            return await _stop_run(session, run, thread_id, after)

        async with self._gates.careful:
            status = await in_transaction(self._sessions, unit)
        await after.tell(self._publisher, self._hints)
        return status

    async def _newest_segment(
        self, session: AsyncSession, principal: Principal, thread_id: str, run_id: str
    ) -> AgentRun:
        found = (
            await session.execute(
                select(AgentRun, AgentChatSession.agent_id)
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
        ).one_or_none()
        if found is None or not principal.may_see(found.agent_id or self._agents(principal).default_id):
            raise NotFound("No such run in this thread.")
        run: AgentRun = found.AgentRun
        return run


async def _stop_run(session: AsyncSession, run: AgentRun, thread_id: str, after: AfterCommit) -> RunStatus:
    """End a queued run at once; ask the worker of a running one; note it for a waiting one."""
    if run.status == QUEUED:
        owned = OwnedRun(run.id, run.session_id, run.ordinal or 0, run.attempt, run.last_seq)
        end = unstarted_end(thread_id, run.run_id, RunFinished(outcome="cancelled"), started=run.last_seq > 0)
        try:
            ended = await end_and_promote(await session.connection(), owned, end)
        except LeaseLost:
            # A worker claimed the run between our read and our update: ask that worker.
            pass
        else:
            after.note(ended)
            return CANCELLED
    if run.status == WAITING:
        return await _stop_waiting(session, run, after)
    await session.execute(_REQUEST_CANCEL, {"run_pk": run.id})
    after.to_stop.append(run.id)
    return RUNNING


async def _stop_waiting(session: AsyncSession, run: AgentRun, after: AfterCommit) -> RunStatus:
    """End a waiting run at once when no other is live; otherwise it ends in its place, once that run has ended."""
    await lock_thread(await session.connection(), run.session_id)
    await session.execute(_REQUEST_CANCEL, {"run_pk": run.id})
    # Its turn may have come just now.
    after.to_stop.append(run.id)
    ended = Ended()
    await promote(await session.connection(), run.session_id, ended)
    after.note(ended)
    status = await session.scalar(select(AgentRun.status).where(AgentRun.id == run.id))
    return CANCELLED if status == CANCELLED else WAITING


async def _withdraw_interrupts(session: AsyncSession, run: AgentRun) -> bool:
    """Cancel a parked run's open interrupts; True when there were any, or they were withdrawn before."""
    await session.execute(
        update(AgentInterrupt)
        .where(AgentInterrupt.run_pk == run.id, AgentInterrupt.status == interrupt_status.OPEN)
        .values(status=interrupt_status.CANCELLED, resolved_at=func.clock_timestamp())
    )
    withdrawn = await session.scalar(
        select(func.count())
        .select_from(AgentInterrupt)
        .where(
            AgentInterrupt.run_pk == run.id,
            AgentInterrupt.status == interrupt_status.CANCELLED,
            AgentInterrupt.resolved_by_run_pk.is_(None),
        )
    )
    return bool(withdrawn)
