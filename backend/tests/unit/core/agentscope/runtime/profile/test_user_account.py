"""A user's account through an outage of Postgres, and at a fault of ours."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs
from tests.support.failing_engine import AWAY, OURS, FailingEngine
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.events.ledger.budget_store import CallEstimate, DayLimits
from core.agentscope.runtime.profile.run_budget import UserAccount
from core.errors import StoreUnavailable
from core.identity import Principal

ESTIMATE = CallEstimate(10, Decimal(1))
TAKEN = next(error for error in OURS if isinstance(error, IntegrityError))


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


def account(engine: FailingEngine) -> UserAccount:
    return UserAccount(engine.as_engine(), Principal("t", "u"), DayLimits(100), 1, 60.0, 30.0)


@pytest.mark.parametrize("error", OURS, ids=repr)
async def test_a_fault_of_ours_passes_at_once(error: Exception) -> None:
    engine = FailingEngine(error)
    began = asyncio.get_running_loop().time()

    with pytest.raises(type(error)) as caught:
        await account(engine).reserve("c-1", ESTIMATE)

    assert (caught.value, engine.begun) == (error, 1)
    assert asyncio.get_running_loop().time() == began


async def test_a_reservation_that_is_there_after_an_unknown_outcome_is_ours() -> None:
    engine = FailingEngine(AWAY, TAKEN)

    await account(engine).reserve("c-1", ESTIMATE)

    assert engine.begun == 2


async def test_an_outage_that_lasts_ends_the_wait() -> None:
    began = asyncio.get_running_loop().time()

    with pytest.raises(StoreUnavailable):
        await account(FailingEngine(AWAY)).reserve("c-1", ESTIMATE)

    assert 29 <= asyncio.get_running_loop().time() - began <= 30


@pytest.mark.parametrize(("error", "level"), [(AWAY, "warning"), (OURS[0], "error")])
async def test_what_is_not_given_back_now_is_given_back_with_the_run(error: Exception, level: str) -> None:
    with capture_logs() as lines:
        await account(FailingEngine(error)).release("c-1")

    assert [(line["event"], line["log_level"]) for line in lines] == [("budget_not_released_yet", level)]
