"""Adds passages to the requests of a run: to the newest message of the user, in a copy that only the model sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agentscope.message import Msg, TextBlock, UserMsg
from agentscope.middleware import MiddlewareBase

from core.agentscope.runtime.agent.knowledge.run_knowledge import RunKnowledge


class PassagesMiddleware(MiddlewareBase):
    """Stands before the middlewares of a user, so that they see what is sent.

    Every call of the run has the passages, at the same place: an answer after a tool call may need them as well, and the
    beginning of the request stays the same for the provider's cache.
    """

    def __init__(self, knowledge: RunKnowledge) -> None:
        self._knowledge = knowledge

    async def on_model_call(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., Any]
    ) -> Any:
        messages = with_reminder(input_kwargs["messages"], self._knowledge.reminder)
        return await next_handler(**input_kwargs | {"messages": messages})


def with_reminder(messages: Sequence[Msg], reminder: str) -> list[Msg]:
    """Return messages whose newest one of the user ends with the reminder, once. The given ones are not changed."""
    if not reminder:
        return list(messages)
    place = max((place for place, message in enumerate(messages) if message.role == "user"), default=None)
    if place is None:
        return [*messages, UserMsg(name="user", content=reminder)]
    message = messages[place]
    *before, last = message.get_content_blocks() or [TextBlock(text="")]
    if isinstance(last, TextBlock) and last.text.endswith(reminder):
        # A runner may give an agent what it got as ``run.conversation``.
        return list(messages)
    # One text, not two: not every endpoint takes a message in several parts.
    added = (
        [TextBlock(text=f"{last.text}\n\n{reminder}")]
        if isinstance(last, TextBlock)
        else [last, TextBlock(text=reminder)]
    )
    return [
        *messages[:place],
        message.model_copy(update={"content": [*before, *added]}),
        *messages[place + 1 :],
    ]
