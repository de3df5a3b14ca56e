"""What a module opens once per worker process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from types import ModuleType
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.runtime.agent.factory.lifespan import LifespanInvalid, Lifespans, lifespan


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


def module(**members: Any) -> ModuleType:
    made = ModuleType("shop")
    vars(made).update(members)
    return made


async def test_it_is_opened_once_for_all_agents_of_its_module_and_closed_at_the_end() -> None:
    log: list[str] = []

    @lifespan
    async def resources() -> AsyncGenerator[str, None]:
        log.append("opened")
        yield "a pool"
        log.append("closed")

    async with AsyncExitStack() as stack:
        lifespans = Lifespans(stack)
        # Another module may import it.
        found = [await lifespans.resources_of(module(resources=resources)) for _ in range(2)]
        assert log == ["opened"]

    assert (found, log) == (["a pool"] * 2, ["opened", "closed"])


async def test_a_module_without_one_has_no_resources() -> None:
    async with AsyncExitStack() as stack:
        assert await Lifespans(stack).resources_of(module()) is None


class Slow:
    """Resources that take their time, or fail when they are closed."""

    def __init__(self, opens: float = 0, closes: float = 0, fails: bool = False) -> None:
        self.log: list[str] = []

        @lifespan
        async def resources() -> AsyncGenerator[str, None]:
            try:
                await asyncio.sleep(opens)
                yield "a pool"
                await asyncio.sleep(closes)
                if fails:
                    raise ConnectionError("gone")
            finally:
                self.log.append("left")

        self.module = module(resources=resources)


async def test_one_that_does_not_come_to_its_yield_is_left_and_named() -> None:
    slow = Slow(opens=1e6)
    async with AsyncExitStack() as stack:
        with pytest.raises(LifespanInvalid, match=r"shop: its @lifespan did not come .* within 60 seconds"):
            await Lifespans(stack).resources_of(slow.module)
    assert slow.log == ["left"]


@pytest.mark.parametrize("slow", [Slow(closes=1e6), Slow(fails=True)], ids=["hangs", "fails"])
async def test_one_that_cannot_be_closed_keeps_nothing_else_open(slow: Slow) -> None:
    other = Slow()
    with capture_logs() as logs:
        async with AsyncExitStack() as stack:
            lifespans = Lifespans(stack)
            for each in (other, slow):
                assert await lifespans.resources_of(each.module) == "a pool"

    assert (slow.log, other.log) == (["left"], ["left"])
    assert [entry["event"] for entry in logs] == ["lifespan_not_closed"]


def resources_are_missing() -> bool:
    return True


@lifespan
async def failing() -> AsyncGenerator[None, None]:
    if resources_are_missing():
        raise ConnectionError("no database at shop.internal\nand more")
    yield


@lifespan
async def other() -> AsyncGenerator[None, None]:
    yield


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"failing": failing},
            r"its @lifespan failed before the first run: .*test_lifespan\.py:\d+: ConnectionError: no database",
        ),
        ({"failing": failing, "other": other}, "has 2 @lifespan functions; keep one"),
    ],
)
async def test_one_that_cannot_be_used_says_so_in_one_line(members: dict[str, Any], words: str) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(LifespanInvalid, match=words) as refused:
            await Lifespans(stack).resources_of(module(**members))
    assert "\n" not in str(refused.value)


def test_it_marks_async_generator_functions_only() -> None:
    async def resources() -> str:
        return "a pool"

    wrong: Any = resources
    with pytest.raises(TypeError, match="one yield"):
        lifespan(wrong)
