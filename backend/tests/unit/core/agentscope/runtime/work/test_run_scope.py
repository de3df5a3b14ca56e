"""One run's scope: what is kept while the run lives, and how a run ends that cannot end by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs
from tests.support.failing_engine import AWAY, OURS, FailingEngine
from tests.support.memory_append_store import MemoryAppendStore, RecordingPublisher

from core.agentscope.events.append_writer import GroupCommitWriter
from core.agentscope.events.owned_run import OwnedRun
from core.agentscope.events.run_end import RunEnd
from core.agentscope.runtime.stop_signal import StopReason, StopSignal
from core.agentscope.runtime.work.leases import ClaimedRun
from core.agentscope.runtime.work.run_scope import RunScope, RunServices
from core.config import Settings
from core.errors import LeaseLost, StoreUnavailable
from core.identity import Principal

INPUT = orjson.dumps({"messages": [{"id": "m-1", "role": "user", "content": "hello"}]}).decode()


@dataclass
class Shared:
    """What the scope asks of its process, and what it was asked."""

    store: MemoryAppendStore = field(default_factory=MemoryAppendStore)
    engine: FailingEngine = field(default_factory=lambda: FailingEngine(OURS[0]))
    watched: list[OwnedRun] = field(default_factory=list)
    ends: list[RunEnd] = field(default_factory=list)
    titled: list[RunEnd] = field(default_factory=list)
    failed: list[ClaimedRun] = field(default_factory=list)
    causes: list[Exception] = field(default_factory=list)
    write_error: Exception | None = None
    fail_error: Exception | None = None

    def watch(self, run: OwnedRun, _on_signal: Callable[[StopReason], None]) -> Callable[[], None]:
        self.watched.append(run)
        return lambda: self.watched.remove(run)

    async def write(self, run: OwnedRun, end: RunEnd) -> None:
        assert self.watched == [run]
        if self.write_error is not None:
            raise self.write_error
        self.ends.append(end)

    async def fail(self, run: ClaimedRun, cause: Exception) -> None:
        if self.fail_error is not None:
            raise self.fail_error
        self.failed.append(run)
        self.causes.append(cause)

    def ended(self, _run: OwnedRun, _principal: Principal, end: RunEnd) -> None:
        self.titled.append(end)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[RunServices]:
        settings = Settings.model_validate({"worker": {"flush_interval_seconds": 0, "outage_seconds": 0.01}})
        writer = GroupCommitWriter(self.store, RecordingPublisher(self.store), settings.worker)
        # The kit is for the agent, which no run of these tests reaches.
        it: Any = self
        no_kit: Any = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run())
            yield RunServices(no_kit, self.engine.as_engine(), it, it, writer, it, it, settings)
            await writer.close()

    async def execute(self, stop: StopSignal | None = None, **changes: Any) -> None:
        run = ClaimedRun(self.store.owned(), Principal("t", "u"), "thread", "run", INPUT, None, 60.0)
        async with self.at_work() as services:
            await RunScope(replace(run, **changes), stop or StopSignal(), services, lambda: None).execute()


def stopped() -> StopSignal:
    stop = StopSignal()
    stop.set("user")
    return stop


async def test_a_run_is_kept_alive_until_its_end_is_written() -> None:
    shared = Shared()

    await shared.execute(stopped())

    assert [(end.status, end.events[-1].type) for end in shared.ends] == [("cancelled", "RUN_FINISHED")]
    assert shared.titled == shared.ends
    assert shared.watched == shared.failed == []


async def test_a_fault_of_ours_while_the_memory_is_read_ends_the_run_at_once() -> None:
    shared = Shared()

    with capture_logs() as lines:
        await shared.execute()

    assert [end.error_code for end in shared.ends] == ["internal-error"]
    assert shared.engine.begun == 1
    assert [line["log_level"] for line in lines if line["event"] == "run_failed"] == ["error"]


async def test_an_outage_that_lasts_while_the_memory_is_read_fails_the_run() -> None:
    shared = Shared(engine=FailingEngine(AWAY))

    with capture_logs():
        await shared.execute()

    assert [end.error_code for end in shared.ends] == [StoreUnavailable.code]


@pytest.mark.parametrize("error", OURS, ids=repr)
async def test_a_fault_of_ours_in_the_end_ends_the_run_with_what_its_log_has(error: Exception) -> None:
    shared = Shared(write_error=error)

    with capture_logs() as lines:
        await shared.execute(stopped())

    assert [run.run_id for run in shared.failed] == ["run"]
    assert shared.causes == [error]
    assert shared.titled == shared.watched == []
    assert [(line["event"], line["log_level"]) for line in lines] == [("run_end_failed", "error")]


async def test_a_run_whose_events_no_database_takes_ends_with_what_its_log_has() -> None:
    shared = Shared()
    shared.store.poisoned.add(1)

    with capture_logs() as lines:
        await shared.execute(stopped_by_nobody := StopSignal())

    assert stopped_by_nobody.reason == "lost"
    assert (shared.ends, [run.run_id for run in shared.failed]) == ([], ["run"])
    assert "append_failed" in [line["event"] for line in lines if line["log_level"] == "error"]


@pytest.mark.parametrize("error", [LeaseLost(), StoreUnavailable()], ids=repr)
async def test_a_run_that_is_not_ours_or_that_postgres_left_is_not_ended_twice(error: Exception) -> None:
    shared = Shared(write_error=error)

    with capture_logs():
        if isinstance(error, StoreUnavailable):
            with pytest.raises(ExceptionGroup) as caught:
                await shared.execute(stopped())
            assert caught.value.exceptions == (error,)
        else:
            await shared.execute(stopped())

    assert shared.failed == shared.watched == []


async def test_a_broken_run_that_another_worker_has_is_theirs() -> None:
    shared = Shared(write_error=OURS[0], fail_error=LeaseLost())

    with capture_logs() as lines:
        await shared.execute(stopped())

    assert [line["event"] for line in lines] == ["run_end_failed", "run_lost"]


async def test_a_run_whose_input_cannot_be_read_is_not_kept_alive() -> None:
    shared = Shared()

    with pytest.raises(ExceptionGroup) as caught:
        await shared.execute(input='{"messages": "of a newer API"}')

    assert isinstance(caught.value.exceptions[0], ValidationError)
    assert shared.ends == shared.failed == shared.watched == []


async def test_a_deadline_that_has_passed_ends_the_run() -> None:
    shared = Shared()
    shared.store.hold.clear()
    stop = StopSignal()
    stop.on_set(shared.store.hold.set)

    with capture_logs():
        await shared.execute(stop, seconds_left=-1.0)

    assert stop.reason == "deadline"
    assert [end.error_code for end in shared.ends] == ["run-timeout"]
