"""An event loop that hangs is seen from outside of it, and a process that hangs for too long ends and says where."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from structlog.testing import capture_logs
from tests.support.limits import HUNG_SECONDS

from agentroute.metrics.loop_watch import EXIT_CODE, LoopWatch
from core.metrics.catalogue import LOOP_LAG_SECONDS

BEAT = 0.005


def observed() -> int:
    return sum(LOOP_LAG_SECONDS.read()[()].counts)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


async def test_a_loop_that_answers_has_a_lag_and_no_stall() -> None:
    before = observed()
    ended: list[int] = []
    watch = LoopWatch(give_up_seconds=0, beat_seconds=BEAT, end=ended.append)
    watch.start()
    try:
        await until(lambda: observed() >= before + 3)
    finally:
        watch.stop()
    assert ended == []


async def test_a_loop_that_hangs_ends_the_process_and_the_log_says_where() -> None:
    given_up = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        given_up.set()

    watch = LoopWatch(give_up_seconds=3 * BEAT, beat_seconds=BEAT, end=end)
    with capture_logs() as lines:
        watch.start()
        # Blocks the event loop, as code of a user does which waits without `await`.
        assert given_up.wait(HUNG_SECONDS)
        watch.stop()

    assert codes == [EXIT_CODE]
    (told,) = [line for line in lines if line["event"] == "event_loop_blocked"]
    assert told["log_level"] == "critical"
    assert "test_a_loop_that_hangs_ends_the_process" in told["stack"]


async def test_a_stall_is_shown_while_it_lasts_and_over_when_the_loop_answers() -> None:
    watch = LoopWatch(give_up_seconds=0, beat_seconds=BEAT)
    watch.start()
    pause = threading.Event()
    try:
        while watch.stalled_seconds < 2 * BEAT:
            # Holds the loop, not the thread that watches it.
            pause.wait(BEAT)
        await until(lambda: watch.stalled_seconds == 0)
    finally:
        watch.stop()


async def test_a_limit_of_zero_never_ends_the_process() -> None:
    ended: list[int] = []
    watch = LoopWatch(give_up_seconds=0, beat_seconds=BEAT, end=ended.append)
    watch.start()
    pause = threading.Event()
    while watch.stalled_seconds < 5 * BEAT:
        pause.wait(BEAT)
    watch.stop()
    assert ended == []
