"""The question whether a run goes on that has spent its own budget."""

from __future__ import annotations

from datetime import datetime

from core.agentscope.runtime.agent.agent_events import new_id
from core.agentscope.runtime.agent.thread_memory import BUDGET_EXHAUSTED
from core.agentscope.runtime.agent.toolkit import answer_schema
from core.agentscope.runtime.profile.run_budget import RunBudgetExhausted
from core.agentscope.schemas.internal_events import InterruptRequested


def budget_question(exhausted: RunBudgetExhausted, expires_at: datetime) -> InterruptRequested:
    """Return the question as it is shown."""
    return InterruptRequested(
        interrupt_id=new_id("int"),
        reason=BUDGET_EXHAUSTED,
        message=f"{exhausted.detail} Go on with as much again?",
        response_schema=answer_schema(),
        expires_at=expires_at,
    )
