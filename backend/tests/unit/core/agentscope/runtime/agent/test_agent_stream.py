"""An agent in a task of its own: what it said comes out whole, and only it is ever cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from agentscope import event as agentscope
from agentscope.agent import Agent
from agentscope.message import AssistantMsg, ToolResultState, UserMsg
from agentscope.state import AgentState
from structlog.testing import capture_logs
from tests.support.scripted_model import HANG, ScriptedModel, agent_on
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.agent_stream import (
    Item,
    agent_stream,
)
from core.agentscope.runtime.agent.stored_state import in_parts
from core.agentscope.runtime.stop_signal import ABANDON_SECONDS, CANCEL_AGAIN_SECONDS, RunStopped, StopSignal
from core.agentscope.schemas.internal_events import ModelUsage, TextEnded
from core.errors import ModelStreamError

R: dict[str, Any] = {"reply_id": "reply-1"}
START = agentscope.ModelCallStartEvent(**R, model_name="small")
END = agentscope.ModelCallEndEvent(**R, input_tokens=1, output_tokens=1)
ASKS = agentscope.RequireUserConfirmEvent(**R, tool_calls=[])
USAGE = ModelUsage(call_id="u-1", stage="execution", provider="here", model="small")


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


def says(text: str) -> agentscope.TextBlockDeltaEvent:
    return agentscope.TextBlockDeltaEvent(**R, block_id="b", delta=text)


def result(call_id: str) -> agentscope.ToolResultEndEvent:
    return agentscope.ToolResultEndEvent(**R, tool_call_id=call_id, state=ToolResultState.SUCCESS)


Script = Callable[[], AsyncGenerator[Any, None]]


class ScriptedAgent:
    """An agent that does what AgentScope's might; it notes how often it was cancelled."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.state = AgentState(session_id="t-1")
        self.works = asyncio.Event()
        self.done = asyncio.Event()
        self.cancels = 0
        self.inputs: Any = None

    async def reply_stream(self, inputs: Any) -> AsyncGenerator[Any, None]:
        self.inputs = inputs
        async for event in self.script():
            yield event

    async def work(self, swallow: int = 0) -> None:
        """Work until done, or cancelled once more than ``swallow`` times."""
        self.works.set()
        while not self.done.is_set():
            try:
                await self.done.wait()
            except asyncio.CancelledError:
                self.cancels += 1
                if self.cancels > swallow:
                    raise


def as_agent(agent: object) -> Agent:
    """Pass a twin for the real thing: of an agent, the stream needs no more than the twin has."""
    return cast("Agent", agent)


class Follower:
    """Takes out what an agent says, as the runtime does."""

    def __init__(self, agent: ScriptedAgent | Agent) -> None:
        self.stop = StopSignal()
        self.items: list[Item] = []
        self.translator = AgentEventTranslator(
            approval_schema=lambda _name: {},
            expires_at=lambda: datetime(2026, 11, 23, tzinfo=UTC),
            max_result_bytes=1000,
        )
        self._agent = as_agent(agent)
        self.cancelling = 0

    async def follow(self, inputs: Any = None) -> None:
        async with asyncio.timeout(3600):
            try:
                async for item in agent_stream(
                    self._agent, inputs, self.translator, self.stop, version="2.0.10"
                ):
                    self.items.append(item)
            finally:
                task = asyncio.current_task()
                self.cancelling = task.cancelling() if task else -1

    @property
    def kinds(self) -> list[str]:
        return ["checkpoint" if isinstance(item, Checkpoint) else item.kind for item in self.items]


def scripted(*events: Any, then: Exception | None = None) -> ScriptedAgent:
    async def script() -> AsyncGenerator[Any, None]:
        for event in events:
            await asyncio.sleep(0)
            yield event
        if then is not None:
            raise then

    return ScriptedAgent(script)


def working(*events: Any, swallow: int = 0) -> ScriptedAgent:
    async def script() -> AsyncGenerator[Any, None]:
        for event in events:
            yield event
        await agent.work(swallow)

    agent = ScriptedAgent(script)
    return agent


# --- what it says -------------------------------------------------------------------------------


async def test_what_the_agent_does_comes_out_translated_and_in_order() -> None:
    follower = Follower(agent := scripted(START, says("Hel"), says("lo"), END))
    await follower.follow("the question")

    assert follower.kinds == ["text_started", "text_delta", "text_delta", "text_ended"]
    assert agent.inputs == "the question"


async def test_the_final_message_is_no_event() -> None:
    follower = Follower(scripted(START, says("Hi"), END, AssistantMsg(name="assistant", content="Hi")))
    await follower.follow()

    assert follower.kinds == ["text_started", "text_delta", "text_ended"]


async def test_a_checkpoint_follows_each_result_and_each_suspension() -> None:
    agent = scripted(START, END, result("c1"), result("c2"), ASKS)
    follower = Follower(agent)
    await follower.follow()

    assert follower.kinds == ["tool_result", "checkpoint", "tool_result", "checkpoint", "checkpoint"]
    assert follower.items[-1] == Checkpoint("2.0.10", in_parts(agent.state))


async def test_the_agent_does_not_wait_for_whoever_takes_its_events_out() -> None:
    agent = scripted(START, says("a"), says("b"), END)
    stream = agent_stream(as_agent(agent), None, Follower(agent).translator, StopSignal(), "2.0.10")
    first = await anext(stream)
    await asyncio.sleep(1)
    rest = [item async for item in stream]

    assert [getattr(item, "kind", "") for item in [first, *rest]] == [
        "text_started",
        "text_delta",
        "text_delta",
        "text_ended",
    ]


# --- failures --------------------------------------------------------------------------------------


async def test_a_failure_comes_after_all_that_was_said_and_what_was_open_is_closed() -> None:
    follower = Follower(scripted(START, says("Hel"), then=ModelStreamError()))
    with pytest.raises(ModelStreamError):
        await follower.follow()

    assert follower.kinds == ["text_started", "text_delta", "text_ended"]
    assert isinstance(follower.items[-1], TextEnded)
    assert follower.items[-1].metadata == {"incomplete": True}


async def test_the_usage_of_a_call_that_failed_is_not_lost() -> None:
    follower = Follower(scripted(START, then=ModelStreamError()))
    follower.translator.record(USAGE)
    with pytest.raises(ModelStreamError):
        await follower.follow()

    assert follower.kinds == ["usage"]


@pytest.mark.parametrize("depth", [1, 3])
async def test_one_error_in_a_group_is_that_error(depth: int) -> None:
    error: Exception = ModelStreamError()
    for _ in range(depth):
        error = ExceptionGroup[Exception]("tools", [error])
    with pytest.raises(ModelStreamError):
        await Follower(scripted(START, then=error)).follow()


async def test_several_errors_stay_a_group() -> None:
    group = ExceptionGroup("tools", [ModelStreamError(), ValueError()])
    with pytest.raises(ExceptionGroup):
        await Follower(scripted(START, then=group)).follow()


async def test_an_agent_that_was_cancelled_by_nobody_is_a_failure() -> None:
    async def script() -> AsyncGenerator[Any, None]:
        yield START
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="nobody"):
        await Follower(ScriptedAgent(script)).follow()


# --- stops ---------------------------------------------------------------------------------------------


async def test_a_stop_cancels_the_agent_and_never_who_takes_its_events_out() -> None:
    follower = Follower(agent := working(START, says("Hel")))
    following = asyncio.create_task(follower.follow())
    await agent.works.wait()
    follower.stop.set("user")
    with pytest.raises(RunStopped):
        await following

    assert follower.kinds == ["text_started", "text_delta", "text_ended"]
    assert (agent.cancels, follower.cancelling) == (1, 0)


@pytest.mark.parametrize("swallow", [1, 3])
async def test_a_cancel_that_is_swallowed_is_repeated(swallow: int) -> None:
    loop = asyncio.get_running_loop()
    follower = Follower(agent := working(START, swallow=swallow))
    following = asyncio.create_task(follower.follow())
    await agent.works.wait()
    began = loop.time()
    follower.stop.set("user")
    with pytest.raises(RunStopped):
        await following

    assert agent.cancels == swallow + 1
    assert loop.time() - began == pytest.approx(swallow * CANCEL_AGAIN_SECONDS)


async def test_an_agent_that_ignores_every_cancel_is_left_behind() -> None:
    loop = asyncio.get_running_loop()
    follower = Follower(agent := working(START, says("Hel"), swallow=10**6))
    following = asyncio.create_task(follower.follow())
    await agent.works.wait()
    began = loop.time()
    follower.stop.set("user")
    with capture_logs() as logs, pytest.raises(RunStopped):
        await following

    agent.done.set()
    assert loop.time() - began == pytest.approx(ABANDON_SECONDS)
    assert follower.kinds == ["text_started", "text_delta"]
    assert [entry["event"] for entry in logs] == ["agent_ignored_cancel"]


async def test_what_an_agent_says_on_its_way_out_is_taken_too() -> None:
    async def script() -> AsyncGenerator[Any, None]:
        yield START
        try:
            await agent.work()
        finally:
            yield agentscope.ModelCallEndEvent(**R, input_tokens=0, output_tokens=0)
            yield result("c1")

    agent = ScriptedAgent(script)
    follower = Follower(agent)
    following = asyncio.create_task(follower.follow())
    await agent.works.wait()
    follower.stop.set("user")
    with pytest.raises(RunStopped):
        await following

    assert follower.kinds == ["tool_result", "checkpoint"]


async def test_an_agent_that_ends_well_although_it_was_stopped_is_stopped() -> None:
    async def script() -> AsyncGenerator[Any, None]:
        yield START
        try:
            await agent.work()
        except asyncio.CancelledError:
            yield says("I notice the interruption.")

    agent = ScriptedAgent(script)
    follower = Follower(agent)
    following = asyncio.create_task(follower.follow())
    await agent.works.wait()
    follower.stop.set("user")
    with pytest.raises(RunStopped):
        await following


async def test_what_breaks_in_an_agent_that_is_stopped_is_no_failure() -> None:
    async def script() -> AsyncGenerator[Any, None]:
        yield START
        try:
            await agent.work()
        except asyncio.CancelledError:
            raise OSError("the connection was cut") from None

    agent = ScriptedAgent(script)
    follower = Follower(agent)
    following = asyncio.create_task(follower.follow())
    await agent.works.wait()
    follower.stop.set("deadline")
    with pytest.raises(RunStopped):
        await following


async def test_a_stop_that_came_before_the_agent_stops_it_at_once() -> None:
    follower = Follower(working(START))
    follower.stop.set("user")
    with pytest.raises(RunStopped):
        await follower.follow()


async def test_who_leaves_early_takes_the_agent_along() -> None:
    agent = working(START, says("Hel"))
    stop = StopSignal()
    stream = agent_stream(as_agent(agent), None, Follower(agent).translator, stop, "2.0.10")
    await anext(stream)
    await agent.works.wait()
    await stream.aclose()
    await asyncio.sleep(1)

    assert agent.cancels == 1
    assert stop._callbacks == set()


# --- with the real agent -------------------------------------------------------------------------------


async def test_a_real_agent_s_answer() -> None:
    follower = Follower(agent_on(ScriptedModel(["Hel", "lo"])))
    await follower.follow(UserMsg(name="user", content="hi"))

    assert follower.kinds == ["text_started", "text_delta", "text_delta", "text_ended"]


async def test_stopping_a_real_agent_in_the_middle_of_its_answer() -> None:
    model = ScriptedModel(["Hel", HANG])
    follower = Follower(agent := agent_on(model))
    following = asyncio.create_task(follower.follow(UserMsg(name="user", content="hi")))
    await model.hangs.wait()
    follower.stop.set("user")
    with pytest.raises(RunStopped):
        await following

    assert follower.kinds == ["text_started", "text_delta", "text_ended"]
    assert isinstance(follower.items[-1], TextEnded)
    assert follower.items[-1].metadata == {"incomplete": True}
    # What the user saw is what the agent remembers.
    assert agent.state.context[-1].get_text_content() == "Hel"


async def test_a_real_agent_whose_model_breaks_off() -> None:
    follower = Follower(agent_on(ScriptedModel(["Hel", ModelStreamError()])))
    with pytest.raises(ModelStreamError):
        await follower.follow(UserMsg(name="user", content="hi"))

    assert follower.kinds == ["text_started", "text_delta", "text_ended"]
