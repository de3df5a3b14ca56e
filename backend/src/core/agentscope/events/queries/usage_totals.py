"""Totals of a thread's or a run's row as the wire shows them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from core.agentscope.schemas.agent_runtime import ThreadUsage
from models import AgentChatSession, AgentRun


def decimal_text(cost: Decimal | None) -> str | None:
    """Return a cost as the wire shows it: all its digits, no exponent, no zeros of its column."""
    return None if cost is None else format(cost.normalize(), "f")


def usage_of(totals: AgentChatSession | AgentRun | Row[Any]) -> ThreadUsage:
    """Return the totals of a row; a cost without the zeros of its column."""
    return ThreadUsage(
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cached_input_tokens=totals.cached_input_tokens,
        reasoning_tokens=totals.reasoning_tokens,
        cost=None if totals.cost is None else totals.cost.normalize() + 0,
        cost_complete=totals.unknown_cost_calls == 0,
    )
