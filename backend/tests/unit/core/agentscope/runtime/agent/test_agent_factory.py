"""What the stages of a run are given: tools, prompts, and the limits of the profile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from agentscope.state import AgentState
from tests.support.model_in_memory import ModelInMemory

from core.agentscope.runtime.agent.agent_factory import AgentFactory
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.intent import UNKNOWN, Intent
from core.agentscope.runtime.agent.shared_state import RunState
from core.agentscope.runtime.agent.subagents import subagent_kit
from core.agentscope.runtime.agent.toolkit import ToolAccess, ToolCallCount, ToolGate
from core.agentscope.runtime.profile.profile import STAGES, AgentProfile
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent, RunCommand
from core.agentscope.tools.calculate import calculate_tool
from core.agentscope.tools.spec import ToolContext
from core.agentscope.tools.update_state import update_state_tool
from core.config import Settings
from core.identity import Principal

CONTEXT = ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="")
CHILD = {"name": "helper", "description": "Helps.", "prompt": "Help."}


async def ignore(_event: InternalRuntimeEvent) -> None:
    pass


def factory(shared: Any = None, command: dict[str, Any] | None = None, **profile: Any) -> AgentFactory:
    made = AgentProfile.model_validate({"name": "Ada", "description": "d"} | profile)
    services = ModelInMemory().services()
    tools = (ToolAccess(calculate_tool(), "allow"), ToolAccess(update_state_tool(), "allow"))
    kit = AgentKit(
        profile=made,
        settings=Settings(model=services.settings),
        services=services,
        prompts={stage: made.prompt_of(stage) for stage in STAGES},
        tools=tools,
        subagents=tuple(subagent_kit(child, tools) for child in made.subagents),
    )
    stop = StopSignal()
    return AgentFactory(
        kit,
        RunCommand.model_validate(command or {}),
        CONTEXT,
        RunState(shared, ignore),
        gate=ToolGate(stop, ToolCallCount(9)),
        emit=ignore,
        stop=stop,
    )


async def offers(made: AgentFactory, name: str) -> bool:
    return await made.toolkit().get_tool(name) is not None


async def test_a_run_has_the_tools_of_server_client_and_profile() -> None:
    made = factory(command={"tools": [{"name": "pick"}]}, subagents=[CHILD])

    assert [await offers(made, name) for name in ("calculate", "pick", "helper")] == [True] * 3


def test_a_question_expires_by_the_database_s_clock() -> None:
    made = factory()
    elsewhere = datetime(2030, 1, 1, tzinfo=UTC)
    made._kit.clock.set(elsewhere)

    assert abs(made.expires_at() - elsewhere - timedelta(days=1)) < timedelta(minutes=10)


async def test_the_state_tool_is_offered_only_where_there_is_a_state() -> None:
    assert not await offers(factory(shared=None), "update_state")
    assert await offers(factory(shared={}), "update_state")


def test_a_prompt_names_the_agent_the_situation_and_the_state() -> None:
    command = {"context": [{"description": "Page", "value": "cart"}]}
    prompt = factory({"items": 2}, command).prompt("execution")

    assert "Ada" in prompt
    assert "- Page: cart" in prompt
    assert '{"items":2}' in prompt


def test_a_prompt_without_situation_and_plan_says_nothing_of_them() -> None:
    prompt = factory().prompt("execution", UNKNOWN)

    assert "situation" not in prompt
    assert "plan for this request" not in prompt


def test_a_prompt_holds_the_steps_of_the_plan_by_number() -> None:
    intent = Intent(kind="task", needs_tools=True, plan=["look", "answer"])

    assert "1. look\n2. answer" in factory().prompt("execution", intent)


def test_an_agent_keeps_the_limits_of_the_profile_and_shares_the_conversation() -> None:
    made = factory(limits={"max_iterations": 3}, context={"tool_result_tokens": 200})
    state = AgentState(session_id="t-1")
    agent = made.agent("execution", UNKNOWN, made.toolkit(), made.translator(), state)

    assert agent.state is state
    assert agent.react_config.max_iters == 3
    assert agent.react_config.interruption_raise_cancelled_error
    assert agent.context_config.tool_result_limit == 200
    assert not agent.injection_config.inject_runtime_state
