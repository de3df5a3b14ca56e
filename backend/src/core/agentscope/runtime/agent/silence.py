"""Ends an agent's reply when its model says nothing: no text and no tool call, perhaps some reasoning.

AgentScope takes a reply of reasoning alone for a step of the work and asks again, up to its step limit: 26 paid calls,
of which 25 are the same. A silent model is asked once more at most; then the stage, not the loop, decides.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from agentscope.event import TextBlockDeltaEvent, ToolCallStartEvent
from agentscope.message import AssistantMsg, Msg
from agentscope.middleware import MiddlewareBase


class SilenceMiddleware(MiddlewareBase):
    """Counts the model calls that said nothing.

    Args:
        retries: How often a silent model is asked again.
    """

    def __init__(self, retries: int) -> None:
        self._left = retries

    async def on_reasoning(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        said = False
        final: Msg | None = None
        async for event in next_handler(**input_kwargs):
            if isinstance(event, Msg):
                final = event
                continue
            said = said or (
                bool(event.delta.strip())
                if isinstance(event, TextBlockDeltaEvent)
                else isinstance(event, ToolCallStartEvent)
            )
            yield event
        if said:
            if final is not None:
                yield final
        elif self._left > 0:
            # Without a message AgentScope goes on and asks the model again.
            self._left -= 1
        else:
            yield final or AssistantMsg(id=agent.state.reply_id, name=agent.name, content=[])
