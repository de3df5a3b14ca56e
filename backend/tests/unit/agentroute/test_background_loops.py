"""Background loops end in order, and a loop that ends by itself is noticed."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from agentroute import background_loops
from agentroute.background_loops import BackgroundLoops, running


class Closable:
    """A loop that has work left when it is closed."""

    def __init__(self, name: str, order: list[str]) -> None:
        self._name = name
        self._order = order
        self._closed = asyncio.Event()

    async def run(self) -> None:
        await self._closed.wait()
        self._order.append(self._name)

    async def close(self) -> None:
        self._closed.set()


async def forever(name: str, order: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        order.append(name)


async def test_loops_that_take_end_before_those_that_write_what_is_left() -> None:
    order: list[str] = []
    broken: list[str] = []
    loops = BackgroundLoops(lambda: broken.append("broken"))
    writer, bus = Closable("writer", order), Closable("bus", order)
    loops.start("writer", writer.run(), close=writer.close)
    loops.start("bus", bus.run(), close=bus.close)
    loops.start("reaper", forever("reaper", order))
    await asyncio.sleep(0)

    await loops.close()

    assert sorted(order) == ["bus", "reaper", "writer"]
    assert order.index("writer") < order.index("bus")
    assert broken == []


@pytest.mark.parametrize("fails", [True, False], ids=["fails", "returns"])
async def test_a_loop_that_ends_by_itself_breaks_the_process(*, fails: bool) -> None:
    broken = asyncio.Event()
    loops = BackgroundLoops(broken.set)

    async def end() -> None:
        if fails:
            raise ValueError("ours")

    with capture_logs() as lines:
        loops.start("short", end())
        await broken.wait()

    assert [(line["event"], line["loop"], line["log_level"]) for line in lines] == [
        ("background_loop_ended", "short", "critical")
    ]
    assert isinstance(lines[0]["exc_info"], ValueError) == fails
    await loops.close()


async def test_a_loop_that_fails_while_it_is_needed_is_in_the_log_and_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background_loops, "RESTART_SECONDS", 0.0)
    order: list[str] = []
    begun: list[int] = []
    lives = asyncio.Event()

    async def fail_twice() -> None:
        begun.append(len(begun))
        if len(begun) < 3:
            raise ValueError("ours")
        lives.set()
        await forever("third time", order)

    async def nothing_to_do() -> None:
        order.append("nothing")

    async def other() -> None:
        await forever("other", order)

    with capture_logs() as lines:
        async with running(broken=fail_twice, idle=nothing_to_do, other=other):
            await lives.wait()
            assert order == ["nothing"], "the others go on, and what returned is not asked again"

    told = [(line["event"], line["loop"], str(line["exc_info"])) for line in lines]
    assert told == [("background_loop_ended", "broken", "ours")] * 2
    assert sorted(order) == ["nothing", "other", "third time"]
