"""Refusals of valid requests: a spent day, or a live run in the thread. The limits of runs are in ``places.py``."""

from __future__ import annotations

import math

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.agentscope.events.ledger.budget_store import DayLimits, used_up_for
from core.agentscope.events.run_status import WAITING
from core.agentscope.runtime.accept.run_request import RunRequest
from core.agentscope.runtime.profile.run_budget import used_up
from core.agentscope.schemas.links import events_url
from core.config import LimitSettings
from core.errors import BudgetExhausted, QueueFull, RunActive
from core.identity import Principal
from models import AgentChatSession, AgentRun

MAX_WAITING = 8
"""Runs that may wait behind a thread's live run."""


async def refuse_spent_day(session: AsyncSession, principal: Principal, limits: LimitSettings) -> None:
    """Refuse a user whose day is used up; what runs have only reserved may still come back.

    Raises:
        BudgetExhausted: Until the next day.
    """
    day = DayLimits(limits.user_tokens_per_day, limits.user_cost_per_day)
    if not day.any:
        return
    seconds = await used_up_for(await session.connection(), principal, day)
    if seconds is not None:
        raise BudgetExhausted(used_up(day), retry_after_seconds=math.ceil(seconds))


async def refuse_to_wait(
    session: AsyncSession, request: RunRequest, thread: AgentChatSession, live: AgentRun
) -> None:
    """Refuse a request that may not wait behind the live run.

    Raises:
        RunActive: It does not want to wait, or it means the thread as its client saw it.
        QueueFull: Enough others wait.
    """
    options = request.command.options()
    # An answer, and what is to be replaced, belong to the thread as the client saw it.
    if request.command.resume or options.regenerate_from or options.on_busy == "reject":
        raise run_active(thread, live)
    already = await session.scalar(
        select(func.count())
        .select_from(AgentRun)
        .where(
            AgentRun.session_id == thread.id,
            AgentRun.status == WAITING,
            AgentRun.cancel_requested_at.is_(None),
        )
    )
    if (already or 0) >= MAX_WAITING:
        raise QueueFull(
            f"{MAX_WAITING} runs already wait on this thread. Wait for one to end.",
            retry_after_seconds=5.0,
        )


def run_active(thread: AgentChatSession, live: AgentRun) -> RunActive:
    """Return the error that names the live run and where to follow it."""
    return RunActive(
        "The thread has a live run. Follow it, wait for its end, or cancel it.",
        retry_after_seconds=2.0,
        runId=live.run_id,
        eventsUrl=events_url(thread.thread_id, live.run_id),
    )
