"""Why a run stops, and who hears of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.runtime.stop_signal import (
    ABANDON_SECONDS,
    CANCEL_AGAIN_SECONDS,
    RunStopped,
    StopReason,
    StopSignal,
    WorkTooSlow,
)

REASONS: list[StopReason] = ["user", "deadline", "shutdown", "lost"]


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


class Work:
    """Something that takes for ever, and what became of it."""

    def __init__(self, at_the_end: Exception | str | None = None) -> None:
        self.at_the_end = at_the_end
        self.started = asyncio.Event()
        self.cancelled = False

    async def run(self) -> str:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            if isinstance(self.at_the_end, str):
                return self.at_the_end
            raise self.at_the_end or asyncio.CancelledError from None
        raise AssertionError


async def done() -> str:
    await asyncio.sleep(1)
    return "done"


# --- the signal -------------------------------------------------------------------------------


def test_a_signal_is_not_set_at_first() -> None:
    assert (StopSignal().is_set, StopSignal().reason) == (False, None)


@pytest.mark.parametrize("first", ["user", "deadline", "shutdown"])
@pytest.mark.parametrize("second", ["user", "deadline", "shutdown"])
def test_the_first_reason_wins(first: StopReason, second: StopReason) -> None:
    stop = StopSignal()
    stop.set(first)
    stop.set(second)

    assert (stop.is_set, stop.reason) == (True, first)


@pytest.mark.parametrize("reason", REASONS)
def test_a_lost_lease_replaces_every_reason_and_is_replaced_by_none(reason: StopReason) -> None:
    stop = StopSignal()
    stop.set(reason)
    stop.set("lost")
    stop.set(reason)

    assert stop.reason == "lost"


def test_whoever_listens_is_called_once() -> None:
    stop, calls = StopSignal(), list[str]()
    stop.on_set(lambda: calls.append("one"))
    stop.on_set(lambda: calls.append("two"))
    for reason in REASONS:
        stop.set(reason)

    assert sorted(calls) == ["one", "two"]


def test_who_comes_late_is_called_at_once() -> None:
    stop, calls = StopSignal(), list[str]()
    stop.set("user")
    stop.on_set(lambda: calls.append("late"))

    assert calls == ["late"]


def test_who_leaves_is_not_called() -> None:
    stop, calls = StopSignal(), list[str]()
    leave = stop.on_set(lambda: calls.append("gone"))
    leave()
    leave()
    stop.set("user")

    assert calls == []


def test_who_is_called_may_leave_or_come() -> None:
    stop, calls = StopSignal(), list[str]()

    def leave_and_come() -> None:
        leave()
        stop.on_set(lambda: calls.append("new"))

    leave = stop.on_set(leave_and_come)
    stop.set("user")

    assert calls == ["new"]


# --- guarded work -----------------------------------------------------------------------------


async def test_work_that_is_not_stopped_returns_what_it_made() -> None:
    assert await StopSignal().guard(done()) == "done"


async def test_work_that_fails_by_itself_raises_its_own_error() -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await StopSignal().guard(fail())


@pytest.mark.parametrize("reason", REASONS)
async def test_a_stop_cancels_the_work(reason: StopReason) -> None:
    stop, work = StopSignal(), Work()
    guarded = asyncio.create_task(stop.guard(work.run()))
    await work.started.wait()
    stop.set(reason)
    with pytest.raises(RunStopped):
        await guarded

    assert work.cancelled


async def test_work_under_a_signal_that_is_set_already_does_not_start() -> None:
    stop, work = StopSignal(), Work()
    stop.set("user")
    with pytest.raises(RunStopped):
        await stop.guard(work.run())

    assert not work.started.is_set()


@pytest.mark.parametrize(
    "at_the_end", [ValueError("broken by the stop"), "swallowed"], ids=["raises", "returns"]
)
async def test_whatever_comes_of_work_that_is_stopped_it_is_stopped(at_the_end: Exception | str) -> None:
    stop, work = StopSignal(), Work(at_the_end)
    guarded = asyncio.create_task(stop.guard(work.run()))
    await work.started.wait()
    stop.set("user")
    with pytest.raises(RunStopped):
        await guarded


async def test_cancelling_the_caller_cancels_the_work() -> None:
    work = Work()
    guarded = asyncio.create_task(StopSignal().guard(work.run()))
    await work.started.wait()
    guarded.cancel()
    with pytest.raises(asyncio.CancelledError):
        await guarded
    await asyncio.sleep(0)

    assert work.cancelled


async def test_work_that_was_cancelled_by_nobody_is_a_failure_and_no_stop() -> None:
    async def cancelled_inside() -> None:
        await asyncio.sleep(1)
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="nobody"):
        await StopSignal().guard(cancelled_inside())


async def test_a_stop_after_the_work_reaches_no_one() -> None:
    stop = StopSignal()
    assert await stop.guard(done()) == "done"
    stop.set("user")

    assert stop._callbacks == set()


class Stubborn:
    """Work that swallows a number of cancellations."""

    def __init__(self, swallows: float) -> None:
        self.swallows = swallows
        self.cancels = 0
        self.started = asyncio.Event()
        self.over = asyncio.Event()

    async def run(self) -> None:
        self.started.set()
        while not self.over.is_set():
            try:
                await self.over.wait()
            except asyncio.CancelledError:
                self.cancels += 1
                if self.cancels > self.swallows:
                    raise


@pytest.mark.parametrize(
    ("swallows", "cancels", "seconds"),
    [
        (0, 1, 0),
        (2, 3, 2 * CANCEL_AGAIN_SECONDS),
        (float("inf"), ABANDON_SECONDS / CANCEL_AGAIN_SECONDS, ABANDON_SECONDS),
    ],
)
@pytest.mark.parametrize(("limit", "error"), [(None, RunStopped), (60.0, WorkTooSlow)])
async def test_a_cancel_that_is_swallowed_is_repeated_and_then_nobody_waits_for_the_work(
    swallows: float, cancels: float, seconds: float, limit: float | None, error: type[Exception]
) -> None:
    loop = asyncio.get_running_loop()
    stop, work = StopSignal(), Stubborn(swallows)
    began = loop.time()
    guarded = asyncio.create_task(stop.guard(work.run(), limit_seconds=limit))
    await work.started.wait()
    if limit is None:
        stop.set("user")
    with pytest.raises(error):
        await guarded

    assert work.cancels == cancels
    assert loop.time() - began == pytest.approx((limit or 0) + seconds)
    work.over.set()
