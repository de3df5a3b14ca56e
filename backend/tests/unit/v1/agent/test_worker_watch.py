"""Runs that are accepted while no worker is running are told of in the log, once each."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from core.readiness import Readiness
from v1.agent.worker_watch import WorkerWatch


class Probe:
    """Answers after the event, and counts how often it was asked."""

    def __init__(self, workers: int | None) -> None:
        self.workers = workers
        self.asked = 0
        self.answer = asyncio.Event()

    async def __call__(self) -> Readiness:
        self.asked += 1
        await self.answer.wait()
        return Readiness(postgres=True, migrations=True, redis=True, workers=self.workers)


async def told(probe: Probe) -> list[tuple[str, str]]:
    watch = WorkerWatch(probe)
    with capture_logs() as lines:
        for number in range(3):
            watch.note(f"t{number}", f"r{number}")
            await asyncio.sleep(0)
        probe.answer.set()
        for _ in range(5):
            await asyncio.sleep(0)
    await watch.aclose()
    return [(line["thread_id"], line["run_id"]) for line in lines if line["event"] == "run_waits_for_worker"]


async def test_each_run_is_told_of_and_the_database_is_asked_once() -> None:
    probe = Probe(workers=0)

    assert await told(probe) == [("t0", "r0"), ("t1", "r1"), ("t2", "r2")]
    assert probe.asked == 1


async def test_nothing_is_told_where_a_worker_runs_or_nobody_knows() -> None:
    assert await told(Probe(workers=1)) == []
    assert await told(Probe(workers=None)) == []


async def test_no_worker_is_zero_and_not_unknown() -> None:
    for workers, expected in ((0, True), (2, False), (None, False)):
        probe = Probe(workers)
        probe.answer.set()
        assert await WorkerWatch(probe).no_worker() is expected
