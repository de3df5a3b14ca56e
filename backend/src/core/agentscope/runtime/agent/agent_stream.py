"""Runs an agent in a task of its own and yields its events, translated.

A producer task iterates the agent and fills a queue. The caller's task takes the items out. Only the producer is ever
cancelled: a cancellation in another task would leave AgentScope's tool tasks running.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import structlog
from agentscope.agent import Agent
from agentscope.event import RequireUserConfirmEvent, ToolResultEndEvent
from agentscope.message import Msg

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.open_tool_calls import checkpoint_of
from core.agentscope.runtime.stop_signal import RunStopped, StopSignal, cancel_until_done
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent

log = structlog.get_logger(__name__)

Item = InternalRuntimeEvent | Checkpoint


async def agent_stream(
    agent: Agent, inputs: Any, translator: AgentEventTranslator, stop: StopSignal, version: str
) -> AsyncGenerator[Item, None]:
    """Yield what the agent does, and checkpoints at its safe points, until it ends.

    Raises:
        RunStopped: The run was told to stop; everything the agent said before is yielded first.
        Exception: What the agent or its model raised.
    """
    queue: asyncio.Queue[Item | None] = asyncio.Queue()

    async def produce() -> None:
        try:
            async for event in agent.reply_stream(inputs):
                if isinstance(event, Msg):
                    continue
                for item in translator.translate(event):
                    queue.put_nowait(item)
                if isinstance(event, ToolResultEndEvent | RequireUserConfirmEvent):
                    # The agent does nothing between two events, so its state is consistent here.
                    queue.put_nowait(checkpoint_of(agent.state, version))
        finally:
            for item in translator.end_model_call(cut=True):
                queue.put_nowait(item)
            queue.put_nowait(None)

    producer = asyncio.create_task(produce())
    cancellers: list[asyncio.Task[None]] = []

    def on_stop() -> None:
        cancellers.append(asyncio.create_task(_cancel_until_done(producer, queue)))

    undo = stop.on_set(on_stop)
    try:
        while (item := await queue.get()) is not None:
            yield item
        if producer.done() or not stop.is_set:
            await asyncio.wait({producer})
        if stop.is_set:
            raise RunStopped
        if producer.cancelled():
            raise RuntimeError("the agent was cancelled by nobody")
        if (error := producer.exception()) is not None:
            raise _single(error)
    finally:
        undo()
        if not producer.done():
            producer.cancel()
        for canceller in cancellers:
            canceller.cancel()
        producer.add_done_callback(_forget)


async def _cancel_until_done(producer: asyncio.Task[None], queue: asyncio.Queue[Item | None]) -> None:
    if not await cancel_until_done(producer):
        log.error("agent_ignored_cancel")
        queue.put_nowait(None)


def _single(error: BaseException) -> BaseException:
    """Return the only error of a group: AgentScope groups the errors of concurrent tools."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return _single(error.exceptions[0])
    return error


def _forget(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        _ = task.exception()
