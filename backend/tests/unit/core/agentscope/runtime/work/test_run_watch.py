"""A run that ignores its end is seen, and a worker that cannot work any more gives up."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs
from tests.support.limits import HUNG_SECONDS

from agentroute.background_loops import BackgroundLoops
from core.agentscope.runtime.work.run_watch import RunWatch, WorkerStuck


class Runs:
    def __init__(self) -> None:
        self.hanging: list[int] = []

    def hung(self) -> list[int]:
        return self.hanging


class Heartbeat:
    alive = True


def test_each_run_that_hangs_is_told_once() -> None:
    runs = Runs()
    watch = RunWatch(runs, Heartbeat(), places=3, patience_seconds=0)
    with capture_logs() as lines:
        watch.look()
        runs.hanging = [7]
        watch.look()
        runs.hanging = [7, 8]
        watch.look()
    assert [(line["event"], line["run"]) for line in lines] == [("run_hung", 7), ("run_hung", 8)]


def test_a_worker_whose_places_all_hang_gives_up_after_the_time_that_an_end_may_wait_for_postgres() -> None:
    runs, now = Runs(), 0.0
    watch = RunWatch(runs, Heartbeat(), places=2, patience_seconds=60, clock=lambda: now)
    runs.hanging = [1, 2]
    watch.look()
    now = 59.0
    watch.look()
    # Postgres came back, and a run wrote its end.
    runs.hanging = [2]
    watch.look()
    runs.hanging = [2, 3]
    now = 60.0
    watch.look()
    now = 119.0
    watch.look()
    now = 120.0
    with pytest.raises(WorkerStuck, match="all 2 runs of this worker hang"):
        watch.look()


def test_a_worker_that_renews_no_lease_gives_up() -> None:
    heartbeat = Heartbeat()
    heartbeat.alive = False
    with pytest.raises(WorkerStuck, match="renews the leases"):
        RunWatch(Runs(), heartbeat, places=2, patience_seconds=0).look()


async def test_giving_up_ends_the_process_with_its_cause_in_the_log() -> None:
    broken = asyncio.Event()
    runs = Runs()
    runs.hanging = [1]
    loops = BackgroundLoops(broken.set)
    watch = RunWatch(runs, Heartbeat(), places=1, patience_seconds=0, look_seconds=0)
    with capture_logs() as lines:
        loops.start("runs", watch.run())
        async with asyncio.timeout(HUNG_SECONDS):
            await broken.wait()
    await loops.close()
    (told,) = [line for line in lines if line["event"] == "background_loop_ended"]
    assert told["log_level"] == "critical"
    assert isinstance(told["exc_info"], WorkerStuck)
