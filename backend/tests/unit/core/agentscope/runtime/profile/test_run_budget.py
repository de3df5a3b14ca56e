"""One run's own limits: estimates fit beside what is used and what calls under way may use."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.agentscope.events.ledger.budget_store import CallEstimate
from core.agentscope.runtime.profile.profile import Limits
from core.agentscope.runtime.profile.run_budget import RunBudget, RunBudgetExhausted
from core.agentscope.schemas.internal_events import ModelUsage
from core.errors import BudgetExhausted


def budget(**limits: object) -> RunBudget:
    return RunBudget(Limits.model_validate(limits), None, output_tokens=50)


def usage(call_id: str, tokens: int, cost: str | None = None) -> ModelUsage:
    return ModelUsage(
        call_id=call_id,
        stage="execution",
        provider="p",
        model="m",
        input_tokens=tokens - 1,
        output_tokens=1,
        cost=None if cost is None else Decimal(cost),
    )


def tokens(count: int) -> CallEstimate:
    return CallEstimate(count, None)


def money(cost: str | None) -> CallEstimate:
    return CallEstimate(10**9, None if cost is None else Decimal(cost))


def test_without_limits_nothing_is_asked() -> None:
    assert not budget().active
    assert budget(max_tokens=1).active
    assert budget(max_cost="0.1").active


def test_the_longest_answer_is_the_stages_or_the_assumed_one() -> None:
    assert (budget().longest_output(None), budget().longest_output(7)) == (50, 7)


async def test_calls_at_once_share_what_is_left() -> None:
    run = budget(max_tokens=100)
    await run.reserve("a", tokens(60))
    with pytest.raises(BudgetExhausted, match="100 tokens"):
        await run.reserve("b", tokens(41))
    await run.reserve("b", tokens(40))


async def test_an_estimate_gives_way_to_what_was_used() -> None:
    run = budget(max_tokens=100)
    await run.reserve("a", tokens(90))
    run.settle(usage("a", 30))
    await run.reserve("b", tokens(70))
    run.settle(usage("b", 71))
    with pytest.raises(BudgetExhausted):
        await run.reserve("c", tokens(1))


async def test_a_call_that_was_never_made_gives_back_its_share() -> None:
    run = budget(max_tokens=100)
    await run.reserve("a", tokens(100))
    await run.release("a")
    await run.release("a")
    await run.reserve("b", tokens(100))


async def test_money_is_exact_to_the_last_digit() -> None:
    run = budget(max_cost="0.3")
    await run.reserve("a", money("0.1"))
    run.settle(usage("a", 10, "0.1"))
    await run.reserve("b", money("0.2"))
    with pytest.raises(BudgetExhausted, match=r"0\.3 US dollars"):
        await run.reserve("c", money("0.000000000001"))


async def test_a_call_of_unknown_price_needs_money_that_is_left() -> None:
    run = budget(max_cost="0.3")
    await run.reserve("a", money(None))
    run.settle(usage("a", 10, "0.3"))
    with pytest.raises(BudgetExhausted):
        await run.reserve("b", money(None))
    await run.reserve("c", money("0"))


@pytest.mark.parametrize(
    ("limits", "estimate", "askable"),
    [
        ({"max_tokens": 100}, tokens(100), True),
        ({"max_tokens": 100}, tokens(101), False),
        ({"max_cost": "0.3"}, money("0.3"), True),
        ({"max_cost": "0.3"}, money("0.300001"), False),
        ({"max_cost": "0.3"}, money(None), True),
    ],
)
async def test_more_is_worth_asking_for_when_the_call_fits_into_a_whole_budget(
    limits: dict[str, object], estimate: CallEstimate, askable: bool
) -> None:
    run = budget(**limits)
    run.settle(usage("a", 100, "0.3"))
    with pytest.raises(BudgetExhausted) as refused:
        await run.reserve("b", estimate)
    assert isinstance(refused.value, RunBudgetExhausted) is askable


def test_a_limit_of_money_is_written_as_text() -> None:
    with pytest.raises(ValueError, match="as a string"):
        budget(max_cost=0.1)
