"""Drives an agent: its events go to the pipeline, its checkpoints to the store, its tool calls through the gate."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import aclosing
from typing import Any

import agentscope
from agentscope.agent import Agent

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.agent_stream import agent_stream
from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.toolkit import ToolGate
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.internal_events import ToolCallEnded, ToolCallStarted, ToolResult

Save = Callable[[Checkpoint], None]


async def drive_agent(
    agent: Agent,
    inputs: Any,
    translator: AgentEventTranslator,
    *,
    emit: Emit,
    save: Save | None,
    gate: ToolGate,
    stop: StopSignal,
    client_calls: Collection[str] = (),
) -> None:
    """Run an agent to its end and emit its events, in order.

    A tool starts only after ``emit`` has returned for the ``ToolCallEnded`` of its call: then the call is durable.

    Args:
        agent: Made for this run.
        inputs: What the agent is given: messages, or the answers to open tool calls.
        translator: Translates the agent's events.
        emit: Takes each event.
        save: Takes checkpoints; ``None`` for an agent that keeps none.
        gate: What the agent's tools wait at.
        stop: Says when to stop.
        client_calls: Calls that earlier runs handed to the client. Their results come from the client, so none is
            emitted.

    Raises:
        RunStopped: The run was told to stop.
        Exception: What the agent or its model raised.
    """
    stream = agent_stream(agent, inputs, translator, stop, agentscope.__version__)
    own_client_calls: set[str] = set()
    async with aclosing(stream):
        async for item in stream:
            if isinstance(item, Checkpoint):
                if save is not None:
                    save(item)
                continue
            if isinstance(item, ToolCallStarted) and await _is_client_tool(agent, item.name):
                own_client_calls.add(item.tool_call_id)
            if isinstance(item, ToolResult) and (
                item.tool_call_id in client_calls
                # A call with an error never went out to the client. The client must learn not to make it.
                or (item.tool_call_id in own_client_calls and item.state not in ("error", "denied"))
            ):
                continue
            if isinstance(item, ToolResult):
                item = item.model_copy(update={"duration_ms": gate.duration_ms(item.tool_call_id)})
            await emit(item)
            if isinstance(item, ToolCallEnded):
                gate.open(item.tool_call_id)


async def _is_client_tool(agent: Agent, name: str) -> bool:
    tool = await agent.toolkit.get_tool(name)
    return tool is not None and tool.is_external_tool


def step_limit_detail(who: str, steps: int, *, summed_up: bool) -> str:
    """Return what a user is told when an agent has used up its steps.

    AgentScope then asks the model once more, without tools, to sum up.
    """
    if summed_up:
        return f"The {who} stopped after {steps} steps, before it was done. Its last message sums up the work so far."
    return f"The {who} stopped after {steps} steps without an answer."
