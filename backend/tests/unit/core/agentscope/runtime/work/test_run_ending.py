"""A run's end through an outage, after an unknown outcome, and at a fault of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.failing_engine import AWAY, OURS, FailingEngine
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.events.ending import Ended
from core.agentscope.events.owned_run import OwnedRun, StreamBatch
from core.agentscope.events.promotion import PromotedRun
from core.agentscope.events.run_end import RunEnd
from core.agentscope.runtime.work import run_ending
from core.agentscope.runtime.work.run_ending import RunEnding
from core.errors import LeaseLost, StoreUnavailable

RUN = OwnedRun(run_pk=1, session_id=2, ordinal=3, attempt=1, last_seq=4)
SHOWN = StreamBatch(2, 3, 5, ["{}"])
NEXT = PromotedRun(9, "next", "thread", "task", 4, 0, cancelled=False)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


class Postgres:
    """A database in which a run ends: what its commits do is said beforehand."""

    def __init__(self, *commits: str, status: str = "running") -> None:
        self.commits = list(commits)
        """For each transaction: ``ok``, ``lost`` (rolled back, no answer) or ``unknown`` (committed, no answer)."""
        self.status = status
        self.ends = 0

    def as_engine(self) -> AsyncEngine:
        engine: Any = self
        return engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Self]:
        before = self.status
        commit = self.commits.pop(0)
        yield self
        if commit == "lost":
            self.status = before
        if commit != "ok":
            raise AWAY

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Self]:
        yield self

    async def scalar(self, *_query: object) -> str:
        return self.status

    async def end(self, _connection: object, _run: OwnedRun, end: RunEnd) -> Ended:
        if self.status != "running":
            raise LeaseLost
        self.ends += 1
        self.status = end.status
        return Ended([SHOWN], promoted=NEXT)


class Told:
    """What readers and workers hear."""

    def __init__(self) -> None:
        self.shown: list[StreamBatch] = []
        self.hinted = asyncio.Event()

    def publish(self, batches: Sequence[StreamBatch]) -> None:
        self.shown += batches

    async def hint(self, run: PromotedRun) -> None:
        assert run == NEXT
        self.hinted.set()


def ending(engine: AsyncEngine, told: Told | None = None) -> RunEnding:
    told = told or Told()
    return RunEnding(engine, told, hint=told.hint, outage_seconds=30.0)


def end() -> RunEnd:
    return RunEnd("succeeded", [], [])


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Postgres:
    postgres = Postgres()
    monkeypatch.setattr(run_ending, "end_and_promote", postgres.end)
    return postgres


async def test_readers_and_workers_are_told_after_the_commit(postgres: Postgres) -> None:
    told = Told()
    postgres.commits = ["ok"]

    await ending(postgres.as_engine(), told).write(RUN, end())

    assert told.shown == [SHOWN]
    await told.hinted.wait()


async def test_an_end_that_was_rolled_back_is_written_again(postgres: Postgres) -> None:
    told = Told()
    postgres.commits = ["lost", "lost", "ok"]

    await ending(postgres.as_engine(), told).write(RUN, end())

    assert (postgres.ends, told.shown) == (3, [SHOWN])


async def test_an_end_that_was_committed_without_an_answer_is_not_written_twice(postgres: Postgres) -> None:
    postgres.commits = ["unknown", "ok"]

    await ending(postgres.as_engine()).write(RUN, end())

    assert (postgres.ends, postgres.status) == (1, "succeeded")


async def test_another_end_after_an_unknown_outcome_is_a_fence(postgres: Postgres) -> None:
    postgres.commits = ["lost", "ok"]
    writing = asyncio.create_task(ending(postgres.as_engine()).write(RUN, end()))
    await asyncio.sleep(0.1)
    postgres.status = "failed"

    with pytest.raises(LeaseLost):
        await writing


async def test_a_run_that_is_not_ours_is_not_ended(postgres: Postgres) -> None:
    # As it happens, the other end is just like ours.
    postgres.commits, postgres.status = ["ok"], "succeeded"

    with pytest.raises(LeaseLost):
        await ending(postgres.as_engine()).write(RUN, end())


async def test_an_outage_that_lasts_ends_the_wait() -> None:
    began = asyncio.get_running_loop().time()

    with pytest.raises(StoreUnavailable):
        await ending(FailingEngine(AWAY).as_engine()).write(RUN, end())

    assert 29 <= asyncio.get_running_loop().time() - began <= 30


@pytest.mark.parametrize("error", OURS, ids=repr)
async def test_a_fault_of_ours_passes_at_once(error: Exception) -> None:
    engine = FailingEngine(error)
    began = asyncio.get_running_loop().time()

    with pytest.raises(type(error)) as caught:
        await ending(engine.as_engine()).write(RUN, end())

    assert (caught.value, engine.begun) == (error, 1)
    assert asyncio.get_running_loop().time() == began


class Usual:
    """The usual way to end a run: what each try does is said beforehand."""

    def __init__(self, postgres: Postgres, *tries: str) -> None:
        self.postgres = postgres
        self.tries = list(tries)
        """``ok``, ``no`` (not a usual end), ``lost`` (rolled back, no answer) or ``unknown`` (committed, no answer)."""

    async def __call__(self, _run: OwnedRun, end: RunEnd) -> Ended | None:
        does = self.tries.pop(0)
        if does == "no" or self.postgres.status != "running":
            return None
        if does != "lost":
            self.postgres.status = end.status
        if does != "ok":
            raise AWAY
        return Ended([SHOWN])


@pytest.mark.parametrize(
    ("tries", "shown", "careful"),
    [
        (["ok"], [SHOWN], 0),
        (["no"], [SHOWN], 1),
        (["lost", "ok"], [SHOWN], 0),
        (["lost", "no"], [SHOWN], 1),
        # It was written: readers find it in the log.
        (["unknown", "no"], [], 0),
    ],
)
async def test_an_end_is_written_once_whichever_way_it_goes(
    postgres: Postgres, tries: list[str], shown: list[StreamBatch], careful: int
) -> None:
    told = Told()
    postgres.commits = ["ok", "ok"]
    usual = Usual(postgres, *tries)
    ending = RunEnding(postgres.as_engine(), told, hint=told.hint, outage_seconds=30.0, end_usually=usual)

    await ending.write(RUN, end())

    assert (usual.tries, told.shown, postgres.ends) == ([], shown, careful)
    assert postgres.status == "succeeded"


async def test_a_run_that_another_ended_is_lost_though_the_usual_way_was_tried(postgres: Postgres) -> None:
    told = Told()
    postgres.commits = ["ok"]
    postgres.status = "succeeded"
    usual = Usual(postgres, "no")
    ending = RunEnding(postgres.as_engine(), told, hint=told.hint, outage_seconds=30.0, end_usually=usual)

    with pytest.raises(LeaseLost):
        await ending.write(RUN, end())
