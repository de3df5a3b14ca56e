"""Ends an agent's reply where it would ask the model: what was decided is done, and nothing more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from agentscope.message import AssistantMsg
from agentscope.middleware import MiddlewareBase


class HoldMiddleware(MiddlewareBase):
    """Stands where the model would be asked.

    The user has said something new beside a decision: the decided calls are made
    first, then the agent takes in the message, and only then the model speaks.
    """

    async def on_reasoning(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        # Taken for the reply's last words, which end it; it is in no context and is no event.
        yield AssistantMsg(id=agent.state.reply_id, name=agent.name, content=[])
