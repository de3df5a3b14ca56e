"""Tools of AgentScope keep the rules of ours: threads, limits, masked errors, the state of the agent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from agentscope.exception import AgentOrientedException
from agentscope.message import Base64Source, DataBlock, TextBlock
from agentscope.state import AgentState
from agentscope.tool import FunctionTool, TaskCreate, ToolChunk
from structlog.testing import capture_logs

from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.foreign_tools import agent_state, of_agentscope
from core.agentscope.tools.spec import ToolContext, ToolOutcome
from core.config import ToolSettings


def raises(error: Exception) -> Any:
    def fail() -> str:
        """Fail."""
        raise error

    return fail


def picture() -> ToolChunk:
    """Draw."""
    image = DataBlock(source=Base64Source(data="AAAA", media_type="image/png"))
    return ToolChunk(content=[TextBlock(text="drawn"), image])


def thread_names() -> Iterator[str]:
    """Say where it runs."""
    yield threading.current_thread().name
    yield " and "
    yield threading.current_thread().name


def long() -> ToolChunk:
    """Say much."""
    return ToolChunk(content=[TextBlock(text="x" * 10_000)])


@pytest.mark.parametrize(
    ("function", "outcome"),
    [
        (picture, ToolOutcome("success", "drawn\n[image/png, 3 bytes, not shown]")),
        (thread_names, ToolOutcome("success", "tool and tool")),
        (raises(ToolError("Say yes.")), ToolOutcome("error", "Say yes.")),
        (raises(AgentOrientedException("Try 7.")), ToolOutcome("error", "AgentOrientedException: Try 7.")),
        (raises(KeyError("db password")), ToolOutcome("error", "The tool failed.")),
    ],
    ids=["media", "thread", "tool error", "for the model", "masked"],
)
async def test_a_call_keeps_the_rules_of_our_tools(
    context: ToolContext, function: Any, outcome: ToolOutcome
) -> None:
    with capture_logs():
        assert await of_agentscope(FunctionTool(function, name="it")).call({}, context) == outcome


async def test_a_result_is_cut_as_the_settings_say(context: ToolContext) -> None:
    tool = of_agentscope(FunctionTool(long)).within(ToolSettings(max_result_bytes=1024))

    assert "[truncated" in (await tool.call({}, context)).content


async def test_a_tool_that_takes_the_state_of_the_agent_gets_it(context: ToolContext) -> None:
    state = AgentState(session_id="s")
    agent_state.set(state)

    outcome = await of_agentscope(TaskCreate()).call({"subject": "Pack", "description": "d"}, context)

    assert outcome.state == "success"
    assert [task.subject for task in state.tasks_context.tasks] == ["Pack"]
