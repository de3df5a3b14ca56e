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
    watch = RunWatch(runs, Heartbeat(), places=3)
    with capture_logs() as lines:
        watch.look()
        runs.hanging = [7]
        watch.look()
        runs.hanging = [7, 8]
        watch.look()
    assert [(line["event"], line["run"]) for line in lines] == [("run_hung", 7), ("run_hung", 8)]


def test_a_worker_whose_places_all_hang_gives_up() -> None:
    runs = Runs()
    runs.hanging = [1, 2]
    with pytest.raises(WorkerStuck, match="all 2 runs of this worker hang"):
        RunWatch(runs, Heartbeat(), places=2).look()


def test_a_worker_that_renews_no_lease_gives_up() -> None:
    heartbeat = Heartbeat()
    heartbeat.alive = False
    with pytest.raises(WorkerStuck, match="renews the leases"):
        RunWatch(Runs(), heartbeat, places=2).look()


async def test_giving_up_ends_the_process_with_its_cause_in_the_log() -> None:
    broken = asyncio.Event()
    runs = Runs()
    runs.hanging = [1]
    loops = BackgroundLoops(broken.set)
    with capture_logs() as lines:
        loops.start("runs", RunWatch(runs, Heartbeat(), places=1, look_seconds=0).run())
        async with asyncio.timeout(HUNG_SECONDS):
            await broken.wait()
    await loops.close()
    (told,) = [line for line in lines if line["event"] == "background_loop_ended"]
    assert told["log_level"] == "critical"
    assert isinstance(told["exc_info"], WorkerStuck)
