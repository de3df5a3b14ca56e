"""Measures one model call and makes its line for the ledger: tokens, cost, times and outcome.

A call is in the ledger when it can have cost something: its request was sent, and the provider did not answer with an
HTTP error. Refused requests and failed connections are in the log only. The line exists before the request is sent, as
a placeholder (``calls_ahead``). It is replaced when the call has ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, Protocol

from core.agentscope.runtime.model.prices import PriceTable
from core.agentscope.runtime.model.token_counts import TokenCounts
from core.agentscope.schemas.internal_events import CallStage, ModelUsage

# AgentScope's own rules of thumb, so that estimates agree with its context budget.
_BYTES_PER_TOKEN = 4
_TOKENS_PER_ATTACHMENT = 2000

CostSource = Literal["stream", "header", "price-table", "unknown"]
Outcome = Literal["completed", "cancelled", "failed", "lost"]


class MeteredAnswer(Protocol):
    """What was received of an answer; it may be incomplete."""

    model: str | None
    finish_reason: str | None
    tokens: TokenCounts | None
    output_bytes: int

    @property
    def finished(self) -> bool:
        """Whether the answer can be complete."""
        ...


class CallMeter:
    """The clock and the identity of one HTTP model call."""

    def __init__(self, stage: CallStage, provider: str, model: str, clock: Callable[[], float]) -> None:
        # Not the provider's id: local servers count from zero again after every restart.
        self.call_id = uuid.uuid4().hex
        self._stage: CallStage = stage
        self._provider = provider
        self._model = model
        self._clock = clock
        self._started = clock()
        self._first_delta: float | None = None
        self._stopped: float | None = None

    @property
    def elapsed_seconds(self) -> float:
        """Time since the call began."""
        return self._clock() - self._started

    @property
    def answering(self) -> bool:
        """Whether the first delta came."""
        return self._first_delta is not None

    def first_delta(self) -> None:
        """Note the time of the first delta; calling it again changes nothing."""
        if self._first_delta is None:
            self._first_delta = self._clock()

    def stop(self) -> None:
        """Note the time of the call's end; calling it again changes nothing."""
        if self._stopped is None:
            self._stopped = self._clock()

    def opening(self, answer: MeteredAnswer, *, body: dict[str, Any], prices: PriceTable) -> ModelUsage:
        """Return the placeholder of a call that is about to be sent. It stays when the worker dies during the call."""
        return self.usage(answer, "lost", body=body, prices=prices)

    def usage(
        self,
        answer: MeteredAnswer,
        outcome: Outcome,
        *,
        body: dict[str, Any],
        prices: PriceTable,
        header_cost: Decimal | None = None,
    ) -> ModelUsage:
        """Return the line. Costs come from the answer, else from the header, else from the price table.

        Args:
            answer: What was received; it may be incomplete.
            outcome: How the call ended.
            body: The request; its tokens are estimated when the provider did not count them.
            prices: List prices, for providers that name no cost.
            header_cost: The proxy's cost of an answer that was not streamed.
        """
        model = answer.model or self._model
        estimated = answer.tokens is None or not answer.finished
        tokens = _estimate(answer, body) if estimated else answer.tokens or TokenCounts()
        cost, source = _cost(tokens, header_cost, prices, (model, self._model))
        return ModelUsage(
            call_id=self.call_id,
            stage=self._stage,
            provider=self._provider,
            model=model,
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cached_input_tokens=tokens.cached,
            cache_write_tokens=tokens.cache_write,
            reasoning_tokens=tokens.reasoning,
            estimated=estimated,
            cost=cost,
            cost_source=source,
            latency_ms=self._milliseconds(self._clock() if self._stopped is None else self._stopped),
            ttft_ms=None if self._first_delta is None else self._milliseconds(self._first_delta),
            finish_reason=answer.finish_reason,
            outcome=outcome,
        )

    def _milliseconds(self, at: float) -> int:
        return round((at - self._started) * 1000)


def _cost(
    tokens: TokenCounts, header: Decimal | None, prices: PriceTable, models: tuple[str, str]
) -> tuple[Decimal | None, CostSource]:
    if tokens.cost is not None:
        return tokens.cost, "stream"
    if header is not None:
        return header, "header"
    for model in models:
        if (cost := prices.cost(model, tokens)) is not None:
            return cost, "price-table"
    return None, "unknown"


def _estimate(answer: MeteredAnswer, body: dict[str, Any]) -> TokenCounts:
    """Estimate from bytes what the provider did not count. Its own counts so far are a lower bound."""
    known = answer.tokens or TokenCounts()
    return TokenCounts(
        input=known.input or estimate_input_tokens(body),
        output=max(known.output, _tokens(answer.output_bytes)),
        cached=known.cached,
        cache_write=known.cache_write,
        reasoning=known.reasoning,
        cost=known.cost,
    )


def estimate_input_tokens(body: dict[str, Any]) -> int:
    """Estimate a request's tokens: four bytes each; an image, a sound or a file counts 2,000."""
    size = attachments = 0
    for message in body.get("messages", ()):
        content = message.get("content") or ""
        for part in [content] if isinstance(content, str) else content:
            text = part if isinstance(part, str) else part.get("text")
            if text is None:
                attachments += 1
            else:
                size += len(text.encode("utf-8", "replace"))
        for call in message.get("tool_calls", ()):
            size += len(call["function"]["arguments"].encode("utf-8", "replace"))
    size += len(str(body.get("tools") or ""))
    return _tokens(size) + attachments * _TOKENS_PER_ATTACHMENT


def _tokens(size: int) -> int:
    return -(-size // _BYTES_PER_TOKEN)
