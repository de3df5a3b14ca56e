"""What operators do to runs: cancel one, or tell workers of one again. Never executes silently what was seen before.

Rules of a requeue:

1. A queued run: workers are told of it again, and find it by themselves within a second. Who executes it is decided by
   the claim, as ever, so it is free to repeat.
2. A running run: only if its lease is over and it is pristine, as the reaper would (``events/requeue.py``). The worker
   that had it is fenced.
3. Nothing else: what has ended stays ended, and a waiting run waits for its turn.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from core.agentscope.events.requeue import is_pristine, requeue
from core.agentscope.events.run_status import ENDED, QUEUED, RUNNING, WAITING
from core.agentscope.events.thread_row import lock_thread
from core.agentscope.runtime.accept.after_commit import in_transaction
from core.agentscope.runtime.accept.gateway import AgentRunGateway
from core.agentscope.runtime.hints import Hints
from core.agentscope.schemas.agent_runtime import RunStatus
from core.agentscope.schemas.run_diagnosis import RequeuedResponse
from core.config import WorkerSettings
from core.errors import NotFound
from core.identity import Principal
from core.operator_errors import RequeueRefused
from models import AgentChatSession, AgentRun

log = structlog.get_logger(__name__)

_DUE = text("UPDATE agent_run SET next_hint_at = clock_timestamp() WHERE id = :run_pk")


class OperatorRuns:
    """Changes runs of other users.

    Args:
        engine: Of the database.
        gateway: Cancels runs, as their owners do.
        hints: To workers.
        worker: How often a run may be tried.
    """

    def __init__(
        self, engine: AsyncEngine, gateway: AgentRunGateway, hints: Hints, worker: WorkerSettings
    ) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._gateway = gateway
        self._hints = hints
        self._worker = worker

    async def cancel(self, run_pk: int, *, tenant_id: str | None, by: str) -> RunStatus:
        """Ask a run to stop, or withdraw its questions. It is idempotent.

        Args:
            run_pk: Row of the run.
            tenant_id: Whose operator asks; None: of all tenants.
            by: Who asks, for the log.

        Raises:
            NotFound: There is no such run.
            RunAlreadyFinished: The run ended before.
        """
        async with self._sessions() as session:
            run, thread = await _find(session, run_pk, tenant_id)
        owner = Principal(thread.tenant_id, thread.user_id)
        status = await self._gateway.cancel(owner, thread.thread_id, run.run_id)
        log.info("run_cancelled_by_operator", run=run_pk, run_id=run.run_id, by=by, status=status)
        return status

    async def requeue(self, run_pk: int, *, tenant_id: str | None, by: str) -> RequeuedResponse:
        """Tell workers of a run again, where that is safe. The arguments are those of :meth:`cancel`.

        Raises:
            NotFound: There is no such run.
            RequeueRefused: It would not be safe, or of no use.
        """

        async def unit(session: AsyncSession) -> tuple[AgentRun, AgentChatSession, str]:
            _, thread = await _find(session, run_pk, tenant_id)
            connection = await session.connection()
            await lock_thread(connection, thread.id)
            # As it is under the locks, not as it was found: others may have changed it meanwhile.
            fresh = select(AgentRun).where(AgentRun.id == run_pk).execution_options(populate_existing=True)
            run = await session.scalar(fresh.with_for_update(key_share=True))
            if run is None:
                raise NotFound("No such run.")
            was = run.status
            now = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
            self._require(run, now)
            if was == RUNNING:
                await requeue(connection, run)
            else:
                await connection.execute(_DUE, {"run_pk": run_pk})
            return run, thread, was

        run, thread, was = await in_transaction(self._sessions, unit)
        await self._hints.send(run_pk, run.task_id)
        log.info("run_requeued_by_operator", run=run_pk, run_id=run.run_id, by=by, was=was)
        told = {"thread_id": thread.thread_id, "run_id": run.run_id, "status": QUEUED, "was": was}
        return RequeuedResponse.model_validate({"id": run_pk, **told})

    def _require(self, run: AgentRun, now: datetime) -> None:
        if refusal := self._refusal(run, now):
            raise RequeueRefused(refusal, runId=run.run_id, status=run.status)

    def _refusal(self, run: AgentRun, now: datetime) -> str | None:
        """Say why a run is not queued again; None: it can be."""
        if run.status in ENDED:
            return "The run has ended, and what ended is never executed again. Its user can send the message again."
        if run.status == WAITING:
            return "The run waits for its turn in its thread. Cancel the run that is ahead, or answer its question."
        if run.attempt - run.released >= self._worker.max_attempts:
            return (
                f"The run has been tried {run.attempt - run.released} times, as often as it may. "
                "It may be what kills workers. Cancel it."
            )
        if run.deadline_at is not None and run.deadline_at <= now:
            return (
                "The run is past its time limit: a worker that took it would end it. The next repair does so."
            )
        if run.status == QUEUED:
            return None
        if run.lease_until is not None and run.lease_until >= now:
            return "A worker executes the run, and lives as far as anybody knows. Cancel it, or wait until its lease is over."
        if not is_pristine(run):
            return (
                "The run has shown something, or called a tool: it would be done twice. "
                "The next repair ends it, and its user can send the message again."
            )
        return None


async def _find(
    session: AsyncSession, run_pk: int, tenant_id: str | None
) -> tuple[AgentRun, AgentChatSession]:
    found = (
        await session.execute(
            select(AgentRun, AgentChatSession)
            .join(AgentChatSession, AgentChatSession.id == AgentRun.session_id)
            .where(AgentRun.id == run_pk)
        )
    ).one_or_none()
    if found is None or tenant_id not in (None, found.AgentChatSession.tenant_id):
        raise NotFound("No such run.")
    return found.AgentRun, found.AgentChatSession
