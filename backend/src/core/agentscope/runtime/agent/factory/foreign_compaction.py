"""Compaction of an agent with a model of its own: AgentScope summarises with that model, and we say that it happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from agentscope.exception import StructuredOutputError
from agentscope.middleware import MiddlewareBase

from core.agentscope.runtime.agent.compaction import EVENT_NAME
from core.agentscope.runtime.model.metered_model import ForeignMeter
from core.agentscope.schemas.internal_events import CustomEvent

log = structlog.get_logger(__name__)


class ForeignCompaction(MiddlewareBase):
    """Books the calls of a summary under ``compaction``, and announces what the context lost.

    Args:
        meter: Books the agent's calls.
        announce: Takes the event.
    """

    def __init__(self, meter: ForeignMeter, announce: Callable[[CustomEvent], None]) -> None:
        self._meter = meter
        self._announce = announce

    async def on_compress_context(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., Awaitable[None]]
    ) -> None:
        state = agent.state
        messages, summary = len(state.context), state.summary
        # No tool is at work now, so nothing else is booked in the meantime.
        self._meter.stage = "compaction"
        try:
            await next_handler(**input_kwargs)
        except StructuredOutputError as exc:
            log.warning("context_not_compacted", error=type(exc).__name__)
        finally:
            self._meter.stage = "execution"
        kept = len(state.context)
        if state.summary == summary and kept == messages:
            return
        self._announce(
            CustomEvent(
                name=EVENT_NAME,
                value={
                    "contextTokens": agent.model.context_size,
                    "messagesBefore": messages,
                    "messagesKept": kept,
                    # Without a summary AgentScope may drop the oldest, if the agent's settings allow it.
                    "messagesLeftOut": messages - kept if state.summary == summary else 0,
                },
            )
        )
