"""The wait for a call's line: through an outage, and not at a fault of ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.failing_engine import AWAY, OURS, FailingEngine
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.events.ledger.calls_ahead import CallsAhead
from core.agentscope.events.ledger.ledger import CallLines
from core.agentscope.events.owned_run import OwnedRun
from core.agentscope.schemas.internal_events import ModelUsage
from core.errors import StoreUnavailable
from core.identity import Principal

OPENING = ModelUsage(call_id="c-1", stage="execution", provider="p", model="m")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


def calls_ahead(engine: FailingEngine) -> CallsAhead:
    lines = CallLines(engine.as_engine())
    owned, owner = OwnedRun(1, 2, 3, 1, 0), Principal("t", "u")
    return CallsAhead(lines, owned, owner, outage_seconds=30.0, begun=lambda: None)


@pytest.mark.parametrize("error", OURS, ids=repr)
async def test_a_fault_of_ours_passes_at_once(error: Exception) -> None:
    engine = FailingEngine(error)
    began = asyncio.get_running_loop().time()

    with pytest.raises(type(error)) as caught:
        await calls_ahead(engine).begin(OPENING)

    assert (caught.value, engine.begun) == (error, 1)
    assert asyncio.get_running_loop().time() == began


async def test_an_outage_that_lasts_ends_the_wait() -> None:
    with pytest.raises(StoreUnavailable):
        await calls_ahead(FailingEngine(AWAY)).begin(OPENING)


async def test_a_line_that_cannot_be_taken_back_ends_no_run() -> None:
    calls = calls_ahead(FailingEngine(OURS[0]))
    with capture_logs() as lines:
        calls.take_back("c-1")
        await calls.settle()

    assert {(line["event"], line["log_level"]) for line in lines} == {
        ("model_call_line_not_taken_back", "error")
    }
