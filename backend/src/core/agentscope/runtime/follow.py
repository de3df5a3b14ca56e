"""Puts what an agent does on its way: events to the pipeline, checkpoints to the store, calls through the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from typing import Any

import agentscope
from agentscope.agent import Agent

from core.agentscope.events.run_end import Checkpoint
from core.agentscope.runtime.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent_stream import agent_stream
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.runtime.toolkit import ToolGate
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.schemas.internal_events import ToolCallEnded, ToolResult

Emit = Callable[[InternalRuntimeEvent], Awaitable[None]]
Save = Callable[[Checkpoint], None]


async def follow_agent(
    agent: Agent,
    inputs: Any,
    translator: AgentEventTranslator,
    *,
    emit: Emit,
    save: Save | None,
    gate: ToolGate,
    stop: StopSignal,
    answered_by_client: Collection[str] = (),
) -> None:
    """Run an agent to its end and emit all it says, in order.

    A tool of the agent starts only after ``emit`` has returned for its call's
    end: then the call is durable.

    Args:
        agent: Made for this run.
        inputs: What it takes in.
        translator: Its events' translation.
        emit: Takes each event.
        save: Takes checkpoints; ``None`` for an agent that keeps none.
        gate: What the agent's tools wait at.
        stop: Says when to stop.
        answered_by_client: Tool calls whose results the client holds already.

    Raises:
        RunStopped: The run was told to stop.
        Exception: What the agent or its model raised.
    """
    stream = agent_stream(agent, inputs, translator, stop, agentscope.__version__)
    async with aclosing(stream):
        async for item in stream:
            if isinstance(item, Checkpoint):
                if save is not None:
                    save(item)
                continue
            if isinstance(item, ToolResult) and item.tool_call_id in answered_by_client:
                # The client has its own message for this call; the server never answers it.
                continue
            await emit(item)
            if isinstance(item, ToolCallEnded):
                gate.open(item.tool_call_id)
