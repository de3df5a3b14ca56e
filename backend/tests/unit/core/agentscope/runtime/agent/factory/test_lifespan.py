"""What a module opens once per worker process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from types import ModuleType
from typing import Any

import pytest

from core.agentscope.runtime.agent.factory.lifespan import LifespanInvalid, Lifespans, lifespan


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
        ({"failing": failing}, "its @lifespan failed before the first run: ConnectionError: no database"),
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
