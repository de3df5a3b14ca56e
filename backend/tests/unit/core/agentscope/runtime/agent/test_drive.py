"""What an agent does reaches the pipeline, the store and the gate; the gate itself is in ``test_toolkit.py``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from agentscope.event import ExternalExecutionResultEvent
from agentscope.message import ToolCallBlock, ToolResultBlock, ToolResultState, UserMsg
from pydantic import BaseModel, ConfigDict
from tests.support.scripted_model import ScriptedModel, Turn, agent_on
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.drive import drive_agent
from core.agentscope.runtime.agent.open_tool_calls import client_calls
from core.agentscope.runtime.agent.toolkit import (
    GateMiddleware,
    RunToolkit,
    ToolAccess,
    ToolCallCount,
    ToolGate,
    run_tools,
)
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import ClientToolDefinition, InternalRuntimeEvent
from core.agentscope.schemas.internal_events import ToolResult
from core.agentscope.tools.spec import Tool, ToolContext
from core.errors import ModelStreamError
from core.identity import Principal

CONTEXT = ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="")


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


async def look(_arguments: Nothing, _context: ToolContext) -> str:
    return "seen"


LOOK = Tool(name="look", description="Looks.", parameters=Nothing, handler=look, permission="allow")


class Drive:
    """One agent, driven turn by turn; ``log`` has the events' kinds and the checkpoints in order."""

    def __init__(self, *turns: Turn) -> None:
        self.stop = StopSignal()
        self.gate = ToolGate(self.stop, ToolCallCount(9))
        toolkit = RunToolkit(
            run_tools([ToolAccess(LOOK, "allow")], [ClientToolDefinition(name="pick")], CONTEXT)
        )
        self.agent = agent_on(ScriptedModel(*turns), toolkit, [GateMiddleware(self.gate)])
        self.log: list[str] = []
        self.events: list[InternalRuntimeEvent] = []

    async def _emit(self, event: InternalRuntimeEvent) -> None:
        self.log.append(event.kind)
        self.events.append(event)

    def _save(self, _checkpoint: Checkpoint) -> None:
        self.log.append("checkpoint")

    async def drive(self, inputs: Any = None, *, keeps: bool = True, earlier: tuple[str, ...] = ()) -> None:
        translator = AgentEventTranslator(
            approval_schema=lambda _name: {},
            expires_at=lambda: datetime(2026, 11, 23, tzinfo=UTC),
            max_result_bytes=1000,
        )
        await drive_agent(
            self.agent,
            inputs or UserMsg(name="user", content="Look."),
            translator,
            emit=self._emit,
            save=self._save if keeps else None,
            gate=self.gate,
            stop=self.stop,
            client_calls=earlier,
        )

    @property
    def results(self) -> list[ToolResult]:
        return [event for event in self.events if isinstance(event, ToolResult)]


def call(call_id: str, name: str) -> ToolCallBlock:
    return ToolCallBlock(id=call_id, name=name, input="{}")


async def test_a_checkpoint_is_saved_after_the_events_it_knows() -> None:
    drive = Drive([call("c1", "look")], ["Seen."])
    await drive.drive()

    assert drive.log[drive.log.index("tool_result") + 1] == "checkpoint"
    assert drive.log.count("checkpoint") == 1


async def test_an_agent_that_keeps_no_checkpoints_saves_none() -> None:
    drive = Drive([call("c1", "look")], ["Seen."])
    await drive.drive(keeps=False)

    assert "checkpoint" not in drive.log
    assert [result.content for result in drive.results] == ["seen"]


async def test_a_result_says_how_long_its_call_took() -> None:
    drive = Drive([call("c1", "look")], ["Seen."])
    await drive.drive()

    (result,) = drive.results
    assert result.duration_ms is not None
    assert 0 <= result.duration_ms < 60_000


async def test_the_client_s_answer_is_no_event_of_the_server() -> None:
    drive = Drive([call("k1", "pick")], ["Blue."])
    await drive.drive()
    earlier = client_calls(drive.agent.state)
    assert earlier == ("k1",)
    answer = ToolResultBlock(id="k1", name="pick", output="blue", state=ToolResultState.SUCCESS)
    event = ExternalExecutionResultEvent(reply_id=drive.agent.state.reply_id, execution_results=[answer])
    await drive.drive(event, earlier=earlier)

    assert drive.results == []
    assert drive.log[-1] == "text_ended"


async def test_what_was_said_before_a_failure_is_emitted_before_it_is_raised() -> None:
    drive = Drive(["Hel", ModelStreamError()])
    with pytest.raises(ModelStreamError):
        await drive.drive()

    assert drive.log == ["text_started", "text_delta", "text_ended"]
