"""Questions that a run can end with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from core.agentscope.schemas.internal_events import InterruptRequested

A_DAY = timedelta(days=1)
ANY_ANSWER: dict[str, Any] = {}


def a_question(
    interrupt_id: str, *, schema: dict[str, Any] | None = None, expires_in: timedelta = A_DAY
) -> InterruptRequested:
    """Return a question about the run itself; any answer fits unless a schema is given."""
    return InterruptRequested(
        interrupt_id=interrupt_id,
        reason="budget_exhausted",
        message="Go on?",
        response_schema=ANY_ANSWER if schema is None else schema,
        expires_at=datetime.now(UTC) + expires_in,
    )
