"""The remaining budget of one run: the run's own limits from the profile, and the user's daily budget.

The budget is checked before every model call, including the calls of subagents and of concurrent stages. The run's own
limits are in the memory of its process. The user's daily budget is in Postgres, because all runs of the user share it
(``events/ledger/budget_store.py``). See docs/adr/0014 for runs that ask the user to continue.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.ledger import budget_store
from core.agentscope.events.ledger.budget_store import CallEstimate, DayLimits
from core.agentscope.runtime.profile.profile import Limits
from core.agentscope.schemas.internal_events import ModelUsage
from core.errors import BudgetExhausted
from core.identity import Principal
from core.outage import report_failure, through_outage

EXPIRY_GRACE_SECONDS = 120.0
"""A reservation lasts this much longer than the run's deadline: the reaper ends overdue runs a little later."""


class RunBudgetExhausted(BudgetExhausted):
    """The run has spent its own budget and could go on with more. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class UserAccount:
    """The day budget of one run's user.

    Args:
        engine: For short transactions.
        principal: Whose budget.
        limits: What a day has.
        run_pk: The run that reserves.
        expire_seconds: How long a reservation can be needed.
        outage_seconds: How long to wait for Postgres.
    """

    engine: AsyncEngine
    principal: Principal
    limits: DayLimits
    run_pk: int
    expire_seconds: float
    outage_seconds: float

    async def reserve(self, call_id: str, estimate: CallEstimate) -> None:
        """Reserve what a call may use.

        Raises:
            BudgetExhausted: It does not fit into what is left of the day.
            StoreUnavailable: Postgres was unavailable for longer than a run may wait.
        """
        tries = 0

        async def attempt() -> bool:
            nonlocal tries
            tries += 1
            try:
                return await self._reserve_once(call_id, estimate)
            except IntegrityError:
                if tries == 1:
                    raise
                # A try whose outcome was never learned had been committed.
                return True

        if not await through_outage(attempt, seconds=self.outage_seconds, what="budget_reservation"):
            raise BudgetExhausted(used_up(self.limits))

    async def release(self, call_id: str) -> None:
        """Give back the reservation of a call that used nothing. Best effort: the run's end repeats it."""
        try:
            async with self.engine.begin() as connection:
                await budget_store.release(connection, call_id)
        except Exception as exc:  # noqa: BLE001  best effort
            report_failure("budget_not_released_yet", exc)

    async def _reserve_once(self, call_id: str, estimate: CallEstimate) -> bool:
        async with self.engine.begin() as connection:
            return await budget_store.reserve(
                connection,
                self.principal,
                self.limits,
                run_pk=self.run_pk,
                call_id=call_id,
                estimate=estimate,
                seconds=self.expire_seconds,
            )


class RunBudget:
    """The spending of one run.

    Args:
        limits: Of the profile; without ``max_tokens`` and ``max_cost`` only the user's budget counts.
        account: The user's budget; ``None`` when days have no limit.
        output_tokens: Assumed longest answer of a model whose stage sets no ``max_tokens``.
    """

    def __init__(self, limits: Limits, account: UserAccount | None, *, output_tokens: int) -> None:
        self._limits = limits
        self._account = account
        self._output_tokens = output_tokens
        self._tokens = 0
        self._cost = Decimal(0)
        self._reserved: dict[str, CallEstimate] = {}

    @property
    def active(self) -> bool:
        """Whether anything is limited at all; otherwise a call need not be estimated."""
        return self._account is not None or self._limits.max_tokens is not None or self._has_cost_limit

    @property
    def _has_cost_limit(self) -> bool:
        return self._limits.max_cost is not None

    def longest_output(self, max_tokens: int | None) -> int:
        """Return how many tokens an answer is assumed to have at most."""
        return self._output_tokens if max_tokens is None else max_tokens

    async def reserve(self, call_id: str, estimate: CallEstimate) -> None:
        """Let a call begin.

        Raises:
            RunBudgetExhausted: Its estimate does not fit into what is left of the run's own budget.
            BudgetExhausted: It does not fit into a whole budget of a run, or into the user's day.
            StoreUnavailable: Postgres was unavailable for longer than a run may wait.
        """
        self._check_run(estimate)
        # Noted before the wait: calls of several subagents come at the same time.
        self._reserved[call_id] = estimate
        if self._account is not None:
            try:
                await self._account.reserve(call_id, estimate)
            except BaseException:
                self._reserved.pop(call_id, None)
                raise

    def settle(self, usage: ModelUsage) -> None:
        """Count what a call used. The user's account is settled with the ledger's line."""
        self._reserved.pop(usage.call_id, None)
        self._tokens += usage.input_tokens + usage.output_tokens
        self._cost += usage.cost or 0

    async def release(self, call_id: str) -> None:
        """Give back the reservation of a call that used nothing."""
        if self._reserved.pop(call_id, None) is not None and self._account is not None:
            await self._account.release(call_id)

    def _check_run(self, estimate: CallEstimate) -> None:
        reserved = self._reserved.values()
        max_tokens, max_cost = self._limits.max_tokens, self._limits.max_cost
        if max_tokens is not None:
            tokens = self._tokens + sum(item.tokens for item in reserved) + estimate.tokens
            if tokens > max_tokens:
                raise _exhausted(f"{max_tokens} tokens", fits=estimate.tokens <= max_tokens)
        if max_cost is not None:
            spent = self._cost + sum(item.cost or Decimal(0) for item in reserved)
            if _over(spent, estimate.cost, max_cost):
                raise _exhausted(
                    f"{max_cost} US dollars", fits=not _over(Decimal(0), estimate.cost, max_cost)
                )


def _over(spent: Decimal, cost: Decimal | None, limit: Decimal) -> bool:
    # A call whose cost is not known beforehand begins as long as the budget is not used up.
    return spent >= limit if cost is None else spent + cost > limit


def _exhausted(budget: str, *, fits: bool) -> BudgetExhausted:
    """Return the refusal of a call. A call larger than a whole budget must not ask for more: it never fits."""
    if fits:
        return RunBudgetExhausted(f"The run has exhausted its budget of {budget}.")
    return BudgetExhausted(f"The next model call needs more than the run's whole budget of {budget}.")


def used_up(limits: DayLimits) -> str:
    """Return the message for a user whose daily budget is used up."""
    named = (
        (limits.tokens, f"{limits.tokens} tokens"),
        (limits.cost, f"{limits.cost} US dollars"),
    )
    what = " and ".join(words for limit, words in named if limit is not None)
    return f"The rest of your daily budget of {what} is not enough. A new day begins at midnight UTC."
