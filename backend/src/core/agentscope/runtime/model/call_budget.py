"""What a model call asks of the budget it is paid from. ``runtime.profile.run_budget`` implements it."""

from __future__ import annotations

from typing import Protocol

from core.agentscope.events.ledger.budget_store import CallEstimate
from core.agentscope.schemas.internal_events import ModelUsage


class CallBudget(Protocol):
    """The budget of one run, as its model calls see it.

    Every call that was reserved is settled (it was sent) or released (it used nothing), exactly once.
    """

    @property
    def active(self) -> bool:
        """Whether anything is limited at all; otherwise a call need not be estimated."""
        ...

    def longest_output(self, max_tokens: int | None) -> int:
        """Return how many tokens an answer is assumed to have at most."""
        ...

    async def reserve(self, call_id: str, estimate: CallEstimate) -> None:
        """Let a call begin.

        Raises:
            core.errors.BudgetExhausted: The estimate does not fit into what is left.
            core.errors.StoreUnavailable: The store was unavailable for longer than a run may wait.
        """
        ...

    def settle(self, usage: ModelUsage) -> None:
        """Count what a call used."""
        ...

    async def release(self, call_id: str) -> None:
        """Release the reservation of a call that used nothing."""
        ...
