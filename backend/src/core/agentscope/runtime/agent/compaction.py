"""Compaction: when a conversation nears the model's context size, a separate model call summarises the older part.

The same when the model refuses a conversation as too long: then it is compacted once, and the model is asked again.

What a reader can rely on:

1. Only what the model is sent becomes shorter. The history and the event log stay complete.
2. A ``CUSTOM`` event announces it. The ledger has its call under the stage ``compaction``.
3. Nothing is left out silently. Without a summary the conversation stays as it is, and a provider that cannot take it
   answers with an error. Messages that were too long even for the summary are counted in the announcement.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import lru_cache
from typing import Any

import structlog
from agentscope.agent import ContextConfig
from agentscope.exception import StructuredOutputError
from agentscope.middleware import MiddlewareBase
from agentscope.model import StructuredResponse

from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.profile.profile import Context
from core.agentscope.schemas.internal_events import CustomEvent
from core.errors import ContextTooLong

log = structlog.get_logger(__name__)

EVENT_NAME = "agentroute.context-compacted"
# By default AgentScope drops the oldest images beyond five, and tells only the model. Here images count as context.
_ALL_IMAGES = 1_000_000
_RESERVE_RATIO = 0.1
_SUMMARY_TRIES = 5
"""Each with half as much as the one before: enough for a conversation thirty times as long as the model takes."""


def context_config(context: Context) -> ContextConfig:
    """Return AgentScope's settings for a profile: it may summarise, and must not truncate.

    Shared by all agents of the profile: AgentScope makes the JSON schema of a summary for each new one.
    """
    return _context_config(context.trigger_ratio, context.tool_result_tokens)


@lru_cache(maxsize=16)
def _context_config(trigger_ratio: float, tool_result_tokens: int) -> ContextConfig:
    return ContextConfig(
        trigger_ratio=trigger_ratio,
        reserve_ratio=min(_RESERVE_RATIO, trigger_ratio / 2),
        tool_result_limit=tool_result_tokens,
        compression_fallback_to_truncation=False,
        max_image_num=_ALL_IMAGES,
    )


class CompactionModel(OpenAICompatibleChatModel):
    """The model of a stage as it writes summaries. It counts the messages that a summary did not take in."""

    left_out: int = 0
    """Messages missing from the newest summary: AgentScope leaves out the oldest when all together are too long."""
    _asked: int = 0

    def begin(self) -> None:
        """Start counting for a new compaction."""
        self.left_out = self._asked = 0

    async def generate_structured_output(self, *args: Any, **options: Any) -> StructuredResponse:
        messages: list[Any] = options["messages"] if "messages" in options else args[0]
        self._asked = self._asked or len(messages)
        self.left_out = self._asked - len(messages)
        return await super().generate_structured_output(*args, **options)


class CompactionMiddleware(MiddlewareBase):
    """Lets an agent compact its context with a separate model, and announces the result."""

    def __init__(self, model: CompactionModel, announce: Callable[[CustomEvent], None]) -> None:
        self._model = model
        self._announce = announce

    async def on_reasoning(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        """Ask the model; when the conversation is too long for it, compact once and ask again.

        Raises:
            ContextTooLong: Still too long, or the newest message alone is.
        """
        try:
            async for item in next_handler(**input_kwargs):
                yield item
            return
        except ContextTooLong:
            # A refused conversation has no answer yet, so nothing is said twice.
            if not await self._shortened(agent):
                raise
        async for item in next_handler(**input_kwargs):
            yield item

    async def _shortened(self, agent: Any) -> bool:
        state = agent.state
        newest = next((message for message in reversed(state.context) if message.role == "user"), None)
        if newest is not None and await agent.model.count_tokens([newest], None) > agent.model.context_size:
            # A summary of the question instead of the question would be answered with something else.
            return False
        summary = state.summary
        await agent.compress_context()
        return state.summary != summary

    async def on_compress_context(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., Awaitable[None]]
    ) -> None:
        state = agent.state
        if not state.context:
            # Only instructions and tools are there, and they are too long. There is nothing to summarise.
            return
        model, messages, summary = agent.model, len(state.context), state.summary
        # Smaller than configured, when the model has refused a conversation.
        self._model.context_size = min(self._model.context_size, model.context_size)
        self._model.begin()
        agent.model = self._model
        try:
            for _ in range(_SUMMARY_TRIES):
                try:
                    await next_handler(**input_kwargs)
                    break
                except ContextTooLong:
                    # How much the model takes was not said: the summary takes in half as much. A refusal costs nothing.
                    model.context_size = self._model.context_size = self._model.context_size // 2
        except StructuredOutputError as exc:
            log.warning("context_not_compacted", error=type(exc).__name__)
        finally:
            agent.model = model
        if state.summary != summary:
            self._announce(
                CustomEvent(
                    name=EVENT_NAME,
                    value={
                        "contextTokens": model.context_size,
                        "messagesBefore": messages,
                        "messagesKept": len(state.context),
                        "messagesLeftOut": self._model.left_out,
                    },
                )
            )
