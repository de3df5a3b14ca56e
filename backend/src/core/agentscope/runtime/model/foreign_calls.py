"""The calls of a model that is not ours: what was received, what it cost, and whether it can have cost anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from agentscope.message import DataBlock, TextBlock, ThinkingBlock, ToolCallBlock
from agentscope.model import ChatModelBase, ChatResponse, StructuredResponse

from core.agentscope.runtime.model.token_counts import TokenCounts
from core.never_sent import NEVER_SENT

_MAX_CHAIN = 10


class ForeignAnswer:
    """What a foreign model has answered so far, as ``CallMeter`` reads it."""

    def __init__(self, provider: str, input_estimate: int) -> None:
        self.model: str | None = None
        self.finish_reason: str | None = None
        # An estimate, until the provider has counted.
        self.tokens: TokenCounts | None = TokenCounts(input=max(input_estimate, 1))
        self.output_bytes = 0
        self._provider = provider
        self._counted = False

    @property
    def finished(self) -> bool:
        """Whether the provider has counted the tokens of the whole answer."""
        return self._counted

    def take(self, response: ChatResponse | StructuredResponse) -> None:
        """Take in a response: a part of a stream, or the whole answer."""
        if isinstance(response, ChatResponse):
            # The last response of a stream holds everything once more.
            size = sum(_size(block) for block in response.content)
            self.output_bytes = max(self.output_bytes, size) if response.is_last else self.output_bytes + size
        usage = response.usage
        if usage is None or not (usage.input_tokens or usage.output_tokens):
            return
        cached, written = usage.cache_input_tokens or 0, usage.cache_creation_input_tokens or 0
        # Anthropic counts what it read from the cache, and wrote to it, beside the input.
        beside = cached + written if self._provider == "anthropic" else 0
        counted = TokenCounts(
            input=(usage.input_tokens or 0) + beside,
            output=usage.output_tokens or 0,
            cached=cached,
            cache_write=written,
        )
        known = self.tokens if self._counted else None
        self.tokens = counted if known is None else known.merged(counted)
        self._counted = True


def provider_of(model: ChatModelBase) -> str:
    """Return the provider's name for the ledger: the host of the model's address, else the kind of the model."""
    kind = str(getattr(model, "type", "") or type(model).__name__)
    for ending in ("_chat", "_response"):
        kind = kind.removesuffix(ending)
    address = getattr(getattr(model, "credential", None), "base_url", None)
    if kind != "anthropic" and isinstance(address, str):
        return urlsplit(address).hostname or kind
    return kind


def cost_nothing(error: BaseException) -> bool:
    """Tell whether a failed call cannot have cost anything: the provider refused it, or it was never sent."""
    return any(status_of(each) is not None or isinstance(each, NEVER_SENT) for each in chain(error))


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of a refusal, as the SDKs of providers name it."""
    for name in ("status_code", "code", "http_status"):
        value = getattr(error, name, None)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    response = getattr(error, "response", None)
    value = getattr(response, "status_code", None)
    return value if isinstance(value, int) and 400 <= value < 600 else None


def refusal_status(error: BaseException) -> int | None:
    """Return the status of a failed call, wherever in the chain of causes it stands."""
    return next((status for each in chain(error) if (status := status_of(each)) is not None), None)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, the error first."""
    each: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if each is None:
            return
        yield each
        each = each.__cause__ or each.__context__


def _size(block: Any) -> int:
    match block:
        case TextBlock():
            text = block.text
        case ThinkingBlock():
            text = block.thinking
        case ToolCallBlock():
            text = block.name + block.input
        case DataBlock():
            return 0
        case _:
            return 0
    return len(text.encode("utf-8", "replace"))
