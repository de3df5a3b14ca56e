"""One call's deltas as AgentScope's ``ChatResponse``. AgentScope joins the blocks of a call by their ids."""

from __future__ import annotations

from datetime import datetime

from agentscope.message import TextBlock, ThinkingBlock, ToolCallBlock
from agentscope.model import ChatResponse, ChatUsage

from core.agentscope.runtime.model.chat_opaque import FIELD, OpaqueValue
from core.agentscope.runtime.model.chat_order import Delta
from core.agentscope.schemas.internal_events import ModelUsage


class CallBlocks:
    """Makes the responses of one call."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._created_at = datetime.now().isoformat()  # noqa: DTZ005  AgentScope's own form

    def response(self, delta: Delta) -> ChatResponse:
        """Wrap a delta."""
        at = self._created_at
        if delta.call is not None:
            block = ToolCallBlock(id=delta.call.id, name=delta.call.name, input=delta.text, created_at=at)
        elif delta.kind == "thinking":
            block = ThinkingBlock(id=f"{self._call_id}-thinking", thinking=delta.text, created_at=at)
        else:
            block = TextBlock(id=f"{self._call_id}-text", text=delta.text, created_at=at)
        return ChatResponse(content=[block], is_last=False, id=self._call_id, created_at=at)

    def opaque(self, value: OpaqueValue) -> ChatResponse:
        """Put what the provider wants back into the conversation, on the answer's reasoning."""
        block = ThinkingBlock(id=f"{self._call_id}-thinking", thinking="", created_at=self._created_at)
        setattr(block, FIELD, value.data())
        return ChatResponse(content=[block], is_last=False, id=self._call_id, created_at=self._created_at)

    def usage(self, usage: ModelUsage) -> ChatResponse:
        """Carry the counts to AgentScope. ``ChatUsage.metadata`` has what AgentScope has no field for."""
        return ChatResponse(
            content=[],
            is_last=False,
            id=self._call_id,
            created_at=self._created_at,
            usage=ChatUsage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                time=usage.latency_ms / 1000,
                cache_creation_input_tokens=usage.cache_write_tokens,
                cache_input_tokens=usage.cached_input_tokens,
                metadata=usage.model_dump(mode="json", exclude={"kind", "message_id"}),
            ),
        )
