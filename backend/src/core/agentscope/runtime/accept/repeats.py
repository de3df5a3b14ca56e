"""Distinguishes a repeated request, a resume under the run's own id, and the reuse of an id for another request."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.agentscope.runtime.accept.run_request import RunRequest
from core.agentscope.runtime.accept.run_row import Accepted, accepted_run
from core.errors import IdempotencyMismatch, NotFound
from models import AgentChatSession, AgentRun


async def find_repeat(session: AsyncSession, request: RunRequest) -> Accepted | None:
    """Return the run that this request has already made; ``None`` when it is a new one.

    A body that answers interrupts is a continuation, whatever its run id:
    CopilotKit resumes under the interrupted run's own id.

    Raises:
        IdempotencyMismatch: The key was used with a different body.
        NotFound: It has, in a thread of an agent that the credential does not name.
    """
    rows = (
        await session.execute(
            select(AgentRun, AgentChatSession.thread_id, AgentChatSession.agent_id)
            .join(AgentChatSession, AgentChatSession.id == AgentRun.session_id)
            .where(
                AgentRun.tenant_id == request.principal.tenant_id,
                AgentRun.user_id == request.principal.user_id,
                AgentRun.idempotency_key == request.idempotency_key,
            )
        )
    ).all()
    for run, thread_id, agent_id in rows:
        if run.request_hash == request.request_hash:
            if not request.principal.may_see(agent_id or request.agents.default_id):
                raise NotFound("No such thread.")
            return Accepted(accepted_run(run, thread_id, created=False), run.id)
    if rows and not request.command.resume:
        raise IdempotencyMismatch(
            "This run id or Idempotency-Key was already used with a different body. Send the first body again, or use a new id."
        )
    return None


async def next_segment(session: AsyncSession, request: RunRequest, thread: AgentChatSession) -> int:
    """Return the number of this row of the run: 0, or one more for each resume under its id.

    Raises:
        IdempotencyMismatch: The id or the key is that of another request.
    """
    rows = (
        await session.execute(
            select(AgentRun.segment, AgentRun.session_id)
            .where(
                AgentRun.tenant_id == request.principal.tenant_id,
                AgentRun.user_id == request.principal.user_id,
                (AgentRun.idempotency_key == request.idempotency_key)
                | ((AgentRun.session_id == thread.id) & (AgentRun.run_id == request.command.run_id)),
            )
            .order_by(AgentRun.segment)
        )
    ).all()
    if not rows:
        return 0
    segment, session_id = rows[-1]
    if not request.command.resume or session_id != thread.id:
        raise IdempotencyMismatch("This run id was already used for another request. Use a new id.")
    return segment + 1
