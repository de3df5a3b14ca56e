"""One run has one end, whatever happens between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.events.state_parts import StoredState
from core.agentscope.runtime.agent_route_runtime import AgentRouteRuntime
from core.agentscope.runtime.stop_signal import StopReason, StopSignal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent, RunCommand
from core.agentscope.schemas.internal_events import RunFailed, RunFinished, RunStarted, TextDelta
from core.errors import LeaseLost, MaxIterations, ModelTimeout, StoreUnavailable

COMMAND = RunCommand(thread_id="t-1", run_id="r-1", parent_run_id="r-0")
STATE = Checkpoint("2.0.10", StoredState("{}", b""))
SECRET = "postgres://user:hunter2@host"
Work = Callable[[], Awaitable[RunFinished]]


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


class MemoryPipeline:
    """Keeps what it is given; a run that was taken away is refused everything."""

    def __init__(self) -> None:
        self.events: list[InternalRuntimeEvent] = []
        self.end: RunFinished | RunFailed | None = None
        self.checkpoint: Checkpoint | None = None
        self.failure: Exception | None = None

    @property
    def visible(self) -> bool:
        return len(self.events) > 1

    async def emit(self, event: InternalRuntimeEvent) -> None:
        if self.failure is not None:
            raise self.failure
        assert self.end is None, "an event after the end"
        self.events.append(event)

    async def finish(self, event: RunFinished | RunFailed, checkpoint: Checkpoint | None = None) -> None:
        if self.failure is not None:
            raise self.failure
        assert self.end is None, "two ends"
        self.end, self.checkpoint = event, checkpoint


class ScriptedOrchestrator:
    """Does one piece of work, as long as nobody stops it."""

    def __init__(self, stop: StopSignal, work: Work) -> None:
        self._stop = stop
        self._work = work

    async def run(self) -> RunFinished:
        return await self._stop.guard(self._work())

    def checkpoint(self) -> Checkpoint | None:
        return STATE


class Execution:
    """A runtime with everything around it."""

    def __init__(self) -> None:
        self.pipeline = MemoryPipeline()
        self.stop = StopSignal()
        self.works = asyncio.Event()
        """The orchestrator is at work."""
        self.may_release = True
        self.releases = 0
        self.commands: list[RunCommand] = []
        self.prepared: Callable[[], Awaitable[None]] = self._ready

    async def run(self, work: Work) -> None:
        async def prepare(command: RunCommand) -> ScriptedOrchestrator:
            self.commands.append(command)
            await self.prepared()
            return ScriptedOrchestrator(self.stop, work)

        runtime = AgentRouteRuntime(prepare, self.pipeline, self.stop, release=self._release)
        async with asyncio.timeout(3600):
            await runtime.run(COMMAND)

    async def run_and_stop(self, reason: StopReason, work: Work | None = None) -> None:
        """Run until the work has begun, then stop it."""
        running = asyncio.create_task(self.run(work or self.work_for_ever))
        await self.works.wait()
        self.stop.set(reason)
        await running

    async def work_for_ever(self) -> RunFinished:
        self.works.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def say_something_and_work_for_ever(self) -> RunFinished:
        await self.pipeline.emit(TextDelta(message_id="m", delta="Hel"))
        return await self.work_for_ever()

    async def _ready(self) -> None:
        await asyncio.sleep(0)

    async def _release(self) -> bool:
        self.releases += 1
        return self.may_release


@pytest.fixture
def execution() -> Execution:
    return Execution()


def ending(outcome: RunFinished) -> Work:
    async def work() -> RunFinished:
        await asyncio.sleep(1)
        return outcome

    return work


def failing(error: BaseException) -> Work:
    async def work() -> RunFinished:
        await asyncio.sleep(1)
        raise error

    return work


# --- ends in order ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome", [RunFinished(), RunFinished(outcome="interrupt"), RunFinished(pending_tool_call_ids=("c-1",))]
)
async def test_a_run_ends_as_the_orchestrator_says_with_its_state(
    execution: Execution, outcome: RunFinished
) -> None:
    await execution.run(ending(outcome))

    assert (execution.pipeline.end, execution.pipeline.checkpoint) == (outcome, STATE)
    assert execution.releases == 0


async def test_a_run_starts_before_anything_is_loaded(execution: Execution) -> None:
    async def look() -> None:
        assert [event.kind for event in execution.pipeline.events] == ["run_started"]
        await asyncio.sleep(0)

    execution.prepared = look
    await execution.run(ending(RunFinished()))

    assert execution.pipeline.events == [RunStarted(thread_id="t-1", run_id="r-1", parent_run_id="r-0")]
    assert execution.commands == [COMMAND]


# --- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            MaxIterations("The agent stopped after 10 steps."),
            "max-iterations",
            "The agent stopped after 10 steps.",
        ),
        (ModelTimeout(), "model-timeout", "The model took too long"),
    ],
)
async def test_a_failure_we_know_ends_the_run_with_its_code_and_words(
    execution: Execution, error: Exception, code: str, message: str
) -> None:
    await execution.run(failing(error))

    assert execution.pipeline.end == RunFailed(code=code, message=message)
    assert execution.pipeline.checkpoint == STATE


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SECRET),
        KeyError(SECRET),
        TimeoutError(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_any_other_failure_is_internal_and_says_nothing_of_itself(
    execution: Execution, error: Exception
) -> None:
    with capture_logs() as logs:
        await execution.run(failing(error))

    end = execution.pipeline.end
    assert isinstance(end, RunFailed)
    assert end.code == "internal-error"
    assert SECRET not in end.message
    assert [(entry["event"], entry["run_id"], entry["exc_info"]) for entry in logs] == [
        ("run_failed", "r-1", True)
    ]


async def test_a_run_that_cannot_be_loaded_fails_without_a_state(execution: Execution) -> None:
    async def broken() -> None:
        await asyncio.sleep(0)
        raise OSError(SECRET)

    execution.prepared = broken
    with capture_logs():
        await execution.run(ending(RunFinished()))

    assert execution.pipeline.end == RunFailed(
        code="internal-error", message="The run failed with an internal error."
    )
    assert execution.pipeline.checkpoint is None


async def test_work_that_was_cancelled_by_nobody_fails_the_run_and_does_not_lose_it(
    execution: Execution,
) -> None:
    with capture_logs():
        await execution.run(failing(asyncio.CancelledError()))

    assert isinstance(execution.pipeline.end, RunFailed)
    assert execution.pipeline.end.code == "internal-error"


# --- stops --------------------------------------------------------------------------------------------


async def test_a_user_s_stop_ends_the_run_as_cancelled_with_its_state(execution: Execution) -> None:
    await execution.run_and_stop("user")

    assert execution.pipeline.end == RunFinished(outcome="cancelled")
    assert execution.pipeline.checkpoint == STATE


async def test_a_deadline_ends_the_run_with_its_code(execution: Execution) -> None:
    await execution.run_and_stop("deadline")

    assert isinstance(execution.pipeline.end, RunFailed)
    assert execution.pipeline.end.code == "run-timeout"


async def test_a_run_that_showed_nothing_goes_back_to_the_queue_at_a_shutdown(execution: Execution) -> None:
    await execution.run_and_stop("shutdown")

    assert (execution.releases, execution.pipeline.end) == (1, None)


async def test_a_run_that_cannot_go_back_any_more_ends_at_a_shutdown(execution: Execution) -> None:
    execution.may_release = False
    await execution.run_and_stop("shutdown")

    assert isinstance(execution.pipeline.end, RunFailed)
    assert execution.pipeline.end.code == "worker-shutdown"


async def test_a_run_that_showed_something_is_not_executed_again_after_a_shutdown(
    execution: Execution,
) -> None:
    await execution.run_and_stop("shutdown", execution.say_something_and_work_for_ever)

    assert execution.releases == 0
    assert isinstance(execution.pipeline.end, RunFailed)
    assert execution.pipeline.end.code == "worker-shutdown"


@pytest.mark.parametrize("reason", ["user", "deadline", "shutdown"])
async def test_what_breaks_while_a_run_is_stopped_is_a_part_of_the_stop(
    execution: Execution, reason: StopReason
) -> None:
    async def break_at_the_stop() -> RunFinished:
        try:
            return await execution.say_something_and_work_for_ever()
        except asyncio.CancelledError:
            raise ValueError(SECRET) from None

    with capture_logs() as logs:
        await execution.run_and_stop(reason, break_at_the_stop)

    assert execution.pipeline.end is not None
    assert SECRET not in str(execution.pipeline.end)
    assert getattr(execution.pipeline.end, "code", "") != "internal-error"
    assert logs == []


async def test_a_stop_before_the_run_is_loaded_stops_it(execution: Execution) -> None:
    async def stopped_meanwhile() -> None:
        execution.stop.set("user")
        await asyncio.Event().wait()

    execution.prepared = stopped_meanwhile
    await execution.run(ending(RunFinished()))

    assert execution.pipeline.end == RunFinished(outcome="cancelled")


# --- a run that is not ours any more -----------------------------------------------------------------------


@pytest.mark.parametrize("said_by", ["the signal", "an event", "the end"])
async def test_nothing_more_is_written_of_a_run_that_was_lost(execution: Execution, said_by: str) -> None:
    async def lose() -> RunFinished:
        if said_by == "the end":
            execution.pipeline.failure = LeaseLost()
            return RunFinished()
        execution.pipeline.failure = LeaseLost()
        await execution.pipeline.emit(TextDelta(message_id="m", delta="zombie"))
        raise AssertionError

    with capture_logs() as logs:
        if said_by == "the signal":
            await execution.run_and_stop("lost")
        else:
            await execution.run(lose)

    assert execution.pipeline.end is None
    assert execution.releases == 0
    assert [entry["event"] for entry in logs] == ["run_lost"]


async def test_a_lost_lease_counts_more_than_the_stop_before_it(execution: Execution) -> None:
    execution.stop.set("user")
    execution.stop.set("lost")
    with capture_logs():
        await execution.run(ending(RunFinished()))

    assert execution.pipeline.end is None


async def test_a_run_whose_end_cannot_be_written_says_so_to_the_process(execution: Execution) -> None:
    async def lose_the_store() -> RunFinished:
        execution.pipeline.failure = StoreUnavailable()
        await execution.pipeline.emit(TextDelta(message_id="m", delta="x"))
        raise AssertionError

    with capture_logs(), pytest.raises(StoreUnavailable):
        await execution.run(lose_the_store)
