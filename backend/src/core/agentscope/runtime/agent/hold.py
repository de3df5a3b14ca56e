"""Ends an agent's reply before the model is asked, so that only the decided tool calls are made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from agentscope.message import AssistantMsg
from agentscope.middleware import MiddlewareBase


class HoldMiddleware(MiddlewareBase):
    """Replaces the model call by an empty answer.

    Used when a request brings a new message beside a decision. The decided calls are made first. Then another agent is
    given the new message, and only then the model is asked.
    """

    async def on_reasoning(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        # AgentScope takes an empty message for the final answer. It adds no message to the context and emits no event.
        yield AssistantMsg(id=agent.state.reply_id, name=agent.name, content=[])
