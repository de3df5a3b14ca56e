"""AgentScope's agent on our model: the order of its events, parallel tools, and cancelling in the middle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agentscope.agent import Agent, InjectionConfig, ReActConfig
from agentscope.message import TextBlock, UserMsg
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.state import AgentState
from agentscope.tool import FunctionTool, ToolBase, ToolChunk, Toolkit
from tests.support.limits import HUNG_SECONDS

from core.errors import ModelStreamError

# The types of the fixtures are in the conftest of this directory, which importlib mode keeps out of reach.
Endpoint = Any
SetUp = Any


def agent_on(model: Any, state: AgentState | None = None) -> Agent:
    async def add(a: int, b: int) -> ToolChunk:
        """Add two numbers."""
        return ToolChunk(content=[TextBlock(text=str(a + b))])

    allowed = PermissionDecision(behavior=PermissionBehavior.ALLOW, message="")
    tools: list[ToolBase] = [FunctionTool(add, permission=allowed)]
    return Agent(
        name="assistant",
        system_prompt="Be brief.",
        model=model,
        toolkit=Toolkit(tools=tools),
        state=state or AgentState(session_id="t-1"),
        injection_config=InjectionConfig(inject_runtime_state=False),
        react_config=ReActConfig(interruption_raise_cancelled_error=True),
    )


def line(event: Any) -> str:
    """Say an event's type and whose it is, in one short line."""
    call_id = getattr(event, "tool_call_id", "")
    delta = getattr(event, "delta", "")
    return " ".join(part for part in (str(event.type.value), call_id, delta) if part)


async def events_of(agent: Agent, text: str = "hi") -> list[str]:
    return [line(event) async for event in agent.reply_stream(UserMsg(name="user", content=text))]


async def test_reasoning_text_and_parallel_tools(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.stream(
        endpoint.chunk({"reasoning_content": "Two sums."}),
        endpoint.chunk({"content": "Adding."}),
        endpoint.call(0, "c1", "add", ""),
        endpoint.call(1, "c2", "add", ""),
        endpoint.call(1, None, None, '{"a":3,'),
        endpoint.call(0, None, None, '{"a":1,'),
        endpoint.call(1, None, None, '"b":4}'),
        endpoint.call(0, None, None, '"b":2}'),
        endpoint.chunk(finish="tool_calls"),
        endpoint.usage(),
    )
    endpoint.stream(*endpoint.text("3 and ", "7"), endpoint.usage())
    setup = set_up()
    events = await events_of(agent_on(setup.model))
    calls_ended = events.index("MODEL_CALL_END")
    assert [event for event in events[:calls_ended] if not event.startswith("TOOL_CALL_DELTA")] == [
        "REPLY_START",
        "MODEL_CALL_START",
        "THINKING_BLOCK_START",
        "THINKING_BLOCK_DELTA Two sums.",
        "THINKING_BLOCK_END",
        "TEXT_BLOCK_START",
        "TEXT_BLOCK_DELTA Adding.",
        "TEXT_BLOCK_END",
        "TOOL_CALL_START c1",
        # AgentScope sees that a call is over when the next one begins.
        "TOOL_CALL_START c2",
        "TOOL_CALL_END c1",
        "TOOL_CALL_END c2",
    ]
    for call_id, arguments in (("c1", '{"a":1,"b":2}'), ("c2", '{"a":3,"b":4}')):
        prefix = f"TOOL_CALL_DELTA {call_id} "
        assert (
            "".join(event.removeprefix(prefix) for event in events if event.startswith(prefix)) == arguments
        )
    assert sorted(event for event in events if event.startswith("TOOL_RESULT_TEXT_DELTA")) == [
        "TOOL_RESULT_TEXT_DELTA c1 3",
        "TOOL_RESULT_TEXT_DELTA c2 7",
    ]
    assert events[-1] == "REPLY_END"
    assert [message["role"] for message in endpoint.received[1].body["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    assert [record.finish_reason for record in setup.records] == ["tool_calls", "stop"]


async def test_no_tool_call_starts_twice_however_the_pieces_arrive(endpoint: Endpoint, set_up: SetUp) -> None:
    pieces = [endpoint.call(index, f"c{index}", "add", "") for index in range(3)]
    pieces += [endpoint.call(index, None, None, char) for char in '{"a":1,"b":2}' for index in (2, 0, 1)]
    endpoint.stream(*pieces, endpoint.chunk(finish="tool_calls"))
    endpoint.stream(*endpoint.text("done"))
    events = await events_of(agent_on(set_up().model))
    for kind in ("TOOL_CALL_START", "TOOL_CALL_END", "TOOL_RESULT_END"):
        assert sorted(event for event in events if event.startswith(kind)) == [
            f"{kind} c{i}" for i in range(3)
        ]


async def test_cancelling_in_the_middle_of_the_text(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script(*endpoint.stream_steps(endpoint.chunk({"content": "Once"}), end=False), "hang")
    endpoint.stream(*endpoint.text("Hello"))
    setup = set_up()
    agent = agent_on(setup.model)
    events: list[str] = []
    shown = asyncio.Event()

    async def run() -> None:
        async for event in agent.reply_stream(UserMsg(name="user", content="hi")):
            events.append(line(event))
            if events[-1].startswith("TEXT_BLOCK_DELTA"):
                shown.set()

    task = asyncio.create_task(run())
    async with asyncio.timeout(HUNG_SECONDS):
        await shown.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await endpoint.left.wait()
    assert task.cancelled()
    assert events == [
        "REPLY_START",
        "MODEL_CALL_START",
        "TEXT_BLOCK_START",
        "TEXT_BLOCK_DELTA Once",
        "TEXT_BLOCK_END",
        "MODEL_CALL_END",
        "REPLY_END",
    ]
    assert [record.outcome for record in setup.records] == ["cancelled"]
    assert (await events_of(agent_on(setup.model, agent.state), "again"))[-1] == "REPLY_END"
    assert [message["content"] for message in endpoint.received[1].body["messages"]] == [
        "Be brief.",
        "hi",
        "Once",
        "again",
    ]


async def test_cancelling_before_the_first_delta(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script("hang")
    setup = set_up()
    task = asyncio.create_task(events_of(agent_on(setup.model)))
    async with asyncio.timeout(HUNG_SECONDS):
        await endpoint.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await endpoint.left.wait()
    assert [record.outcome for record in setup.records] == ["cancelled"]


async def test_a_deadline_ends_a_run_as_a_timeout(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script(*endpoint.stream_steps(endpoint.chunk({"content": "Once"}), end=False), "hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await events_of(agent_on(set_up().model))


async def test_a_broken_answer_leaves_the_agent_as_our_error(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script(*endpoint.stream_steps(endpoint.chunk({"content": "Once"}), end=False), "cut")
    with pytest.raises(ModelStreamError):
        await events_of(agent_on(set_up().model))


async def test_an_answer_of_reasoning_alone_makes_the_agent_ask_again(
    endpoint: Endpoint, set_up: SetUp
) -> None:
    endpoint.stream(endpoint.chunk({"reasoning": "hm"}), endpoint.chunk(finish="stop"))
    endpoint.stream(*endpoint.text("done"))
    setup = set_up()
    assert (await events_of(agent_on(setup.model)))[-1] == "REPLY_END"
    assert len(setup.records) == 2


async def test_what_the_provider_wants_back_goes_back_with_the_answer_it_came_with(
    endpoint: Endpoint, set_up: SetUp
) -> None:
    signed = {"type": "reasoning.text", "text": "Two sums.", "signature": "sig", "index": 0}
    google = {"google": {"thought_signature": "s"}}
    endpoint.stream(
        endpoint.chunk(
            {"reasoning": "Two", "reasoning_details": [{"type": "reasoning.text", "text": "Two", "index": 0}]}
        ),
        endpoint.chunk(
            {
                "reasoning": " sums.",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": " sums.", "signature": "sig", "index": 0}
                ],
            }
        ),
        endpoint.chunk(
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "c1",
                        "function": {"name": "add", "arguments": '{"a":1,"b":2}'},
                        "extra_content": google,
                    }
                ]
            }
        ),
        endpoint.chunk(finish="tool_calls"),
    )
    encrypted = {"type": "reasoning.encrypted", "data": "QUJD", "index": 0}
    endpoint.stream(endpoint.chunk({"content": "3", "reasoning_details": [encrypted]}, finish="stop"))
    endpoint.stream(*endpoint.text("Bye"))
    kept: list[Any] = []
    setup = set_up(options={"keep": kept.append})
    agent = agent_on(setup.model)
    first = await events_of(agent)
    await events_of(agent, "bye")

    assert first.count("THINKING_BLOCK_START") == 3
    last = endpoint.received[2].body["messages"]
    assert [message["role"] for message in last] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert last[2]["reasoning_details"] == [signed]
    assert last[2]["tool_calls"][0]["extra_content"] == google
    assert last[4]["reasoning_details"] == [encrypted]
    assert [value.message["reasoning_details"] for value in kept] == [[signed], [encrypted]]
    assert endpoint.received[1].body["messages"][2] == last[2]


async def test_of_an_answer_that_broke_off_nothing_is_kept(endpoint: Endpoint, set_up: SetUp) -> None:
    cut = endpoint.chunk(
        {"content": "I", "reasoning_details": [{"type": "reasoning.encrypted", "data": "QU"}]}
    )
    endpoint.script(*endpoint.stream_steps(cut, end=False), "cut")
    kept: list[Any] = []
    with pytest.raises(ModelStreamError):
        await events_of(agent_on(set_up(options={"keep": kept.append}).model))

    assert kept == []
