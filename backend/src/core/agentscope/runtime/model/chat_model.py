"""AgentScope's chat model over any OpenAI-compatible endpoint: lean, metered, and strict about its end.

What a caller can rely on:

1. The deltas of one network read come together: one response a block, in order. A block is never reopened.
2. A call is retried only before its first delta; what was shown is never taken back or repeated. When its tries are
   used up, the fallback, if there is one, gets as many; only a request that was found wrong goes no further.
3. It ends: by the provider's word, or by an error within the first-token or the idle timeout.
4. Every call that can have cost something is recorded once, whatever becomes of it (``chat_meter``), the worker's
   death included (``calls_ahead``); it begins only when its budget has room for what it may use (``call_budget``).
5. Cancelling closes the connection before the cancellation goes on.

The request is sent when the first response is asked for: a stream that nobody
reads costs nothing and leaks nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Any

import httpx
import structlog
from agentscope.credential import CredentialBase
from agentscope.message import Msg, TextBlock, ThinkingBlock, ToolCallBlock
from agentscope.model import ChatModelBase, ChatResponse, ChatUsage
from agentscope.tool import ToolChoice

from core.agentscope.events.ledger.budget_store import CallEstimate
from core.agentscope.events.ledger.calls_ahead import CallsAhead
from core.agentscope.runtime.model.call_budget import CallBudget
from core.agentscope.runtime.model.chat_call import ChatCall
from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.chat_errors import CallFailed, ModelRejected, log_failure
from core.agentscope.runtime.model.chat_meter import CallMeter, Outcome, estimate_input_tokens
from core.agentscope.runtime.model.chat_opaque import FIELD, OpaqueValue
from core.agentscope.runtime.model.chat_order import Delta
from core.agentscope.runtime.model.chat_request import (
    ChatFormatter,
    encode,
    format_tools,
    tool_call_ids,
)
from core.agentscope.runtime.model.chat_retry import RETRY_WINDOW_SECONDS, delay_seconds
from core.agentscope.runtime.model.chat_stream import ChatStreamParser
from core.agentscope.runtime.model.prices import PriceTable, load_prices
from core.agentscope.runtime.model.token_counts import TokenCounts, parse_cost
from core.agentscope.schemas.internal_events import CallStage, ModelUsage
from core.config import ModelSettings

log = structlog.get_logger(__name__)


class OpenAICompatibleChatModel(ChatModelBase):
    """A model of one stage of one run. Cheap to build; the client and the prices are shared."""

    class Parameters(ChatModelBase.Parameters):
        """What the profile may set; absent is the provider's default."""

        temperature: float | None = None
        max_tokens: int | None = None

    type = "openai_compatible"

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: ModelSettings,
        *,
        model: str,
        stage: CallStage,
        record: Callable[[ModelUsage], None],
        keep: Callable[[OpaqueValue], None] = lambda _value: None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        prices: PriceTable | None = None,
        budget: CallBudget | None = None,
        calls_ahead: CallsAhead | None = None,
        fallback: ChatEndpoint | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """Bind a model name to a stage.

        Args:
            client: From ``create_model_client`` with the same settings; not closed here.
            settings: Endpoint, timeouts and retries.
            model: Name sent to the endpoint.
            stage: Stage the calls are booked under.
            record: Takes the ledger's line of each call, before the call's last response or its error. Called
                in the event loop; must not raise.
            keep: Takes what the provider wants back with later requests, before the call's last response. The
                conversation keeps it by itself; this is for showing it.
            temperature: Sampling temperature.
            max_tokens: Longest answer, reasoning included.
            prices: Price table; the one of the settings when absent.
            budget: Asked before each try; without one nothing is limited.
            calls_ahead: Writes each call into the ledger before it is sent; without, a call is there when it has ended.
            fallback: Asked when this model cannot answer.
            clock: Monotonic seconds.
            sleep: Waits between tries.
            dice: Random numbers in [0, 1), for the jitter.

        Raises:
            ValueError: ``settings.base_url`` is not an HTTP URL.
            PricesInvalid: ``settings.prices_path`` holds no price table.
        """
        endpoint = ChatEndpoint(client, settings, model)
        super().__init__(
            # The key stays in the client: AgentScope's objects get logged and stored.
            credential=CredentialBase(name=endpoint.provider),
            model=model,
            parameters=self.Parameters(temperature=temperature, max_tokens=max_tokens),
            # The base class retries without jitter, Retry-After or a limit; this one does it itself.
            max_retries=0,
            context_size=settings.context_tokens,
        )
        self.formatter = ChatFormatter(origin=endpoint.origin)
        self._endpoints = (endpoint,) if fallback is None else (endpoint, fallback)
        self._stage: CallStage = stage
        self._record = record
        self._keep = keep
        self._prices = prices or load_prices(settings.prices_path)
        self._budget = budget if budget is not None and budget.active else None
        self._calls_ahead = calls_ahead
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._clock = clock
        self._sleep = sleep
        self._dice = dice

    @classmethod
    def _get_structured_output_fallback_exceptions(cls) -> tuple[type[Exception], ...]:
        # Some reasoning models refuse a forced tool choice and take a free one.
        return (ModelRejected,)

    async def _call_api(
        self,
        model_name: str,
        messages: list[Msg],
        tools: list[dict[str, Any]] | None = None,
        tool_choice: ToolChoice | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatResponse, None]:
        """Prepare a call; the stream returned sends it, and raises the run failures of ``core.errors``.

        ``BudgetExhausted`` too: then nothing was sent.

        Raises:
            ValueError: ``tool_choice`` names a tool that is not there.
        """
        self._validate_tool_choice(tool_choice, tools)
        rest = {
            "stream": True,
            "stream_options": {"include_usage": True},
            **format_tools(tools, tool_choice),
            **kwargs.pop("extra_body", {}),
            **kwargs,
        }
        return self._responses(messages, rest)

    async def _responses(
        self, messages: list[Msg], rest: dict[str, Any]
    ) -> AsyncGenerator[ChatResponse, None]:
        for place, endpoint in enumerate(self._endpoints, start=1):
            # For each its own: what one provider wants back is no business of another.
            said = await ChatFormatter(origin=endpoint.origin).format(messages)
            body = endpoint.body(
                {"messages": said, **rest}, temperature=self._temperature, max_tokens=self._max_tokens
            )
            try:
                async with aclosing(self._answer(endpoint, body)) as responses:
                    async for response in responses:
                        yield response
            except CallFailed as failed:
                if (
                    place == len(self._endpoints)
                    or failed.answered
                    or isinstance(failed.error, ModelRejected)
                ):
                    raise failed.error from failed
                log.warning("model_fallback", stage=self._stage, model=self._endpoints[place].model)
            else:
                return

    async def _answer(
        self, endpoint: ChatEndpoint, body: dict[str, Any]
    ) -> AsyncGenerator[ChatResponse, None]:
        """Ask one endpoint, with all the tries it has.

        Raises:
            CallFailed: The last try failed.
        """
        content = encode(body)
        ids = tool_call_ids(body)
        began = self._clock()
        for retry in itertools.count(1):
            call = self._new_call(endpoint, content, ids)
            blocks = _Blocks(call.meter.call_id)
            outcome: Outcome = "failed"
            failed: CallFailed | None = None
            usage: ModelUsage | None = None
            await self._reserve(call, body)
            try:
                if self._calls_ahead is not None:
                    opening = call.meter.opening(call.answer, body=body, prices=self._prices)
                    await self._calls_ahead.begin(opening)
                async with aclosing(call.deltas()) as reads:
                    async for deltas in reads:
                        for delta in deltas:
                            yield blocks.response(delta)
                outcome = "completed"
            except CallFailed as exc:
                failed = exc
            except (asyncio.CancelledError, GeneratorExit):
                outcome = "completed" if call.answer.finished else "cancelled"
                raise
            finally:
                if call.sent and not call.refused:
                    usage = self._book(call, outcome, body)
                elif self._calls_ahead is not None:
                    self._calls_ahead.take_back(call.meter.call_id)
            if usage is None and self._budget is not None:
                await self._budget.release(call.meter.call_id)
            if failed is None:
                # Of a whole answer only: a part of a signature would be refused.
                if (value := call.answer.opaque.value(endpoint.origin)) is not None:
                    self._keep(value)
                    yield blocks.opaque(value)
                if usage is not None:
                    yield blocks.usage(usage)
                return
            settings = endpoint.settings
            log_failure(settings, failed, call_id=call.meter.call_id, model=endpoint.model, stage=self._stage)
            failed.answered = call.meter.answering
            wait = delay_seconds(retry, failed.retry_after, self._dice)
            late = self._clock() - began + wait > RETRY_WINDOW_SECONDS
            if failed.answered or not failed.transient or retry > settings.max_retries or late:
                raise failed
            await self._sleep(wait)

    def _new_call(self, endpoint: ChatEndpoint, content: bytes, ids: list[str]) -> ChatCall:
        meter = CallMeter(self._stage, endpoint.provider, endpoint.model, self._clock)
        return ChatCall(
            endpoint.client,
            endpoint.request(content, call_id=meter.call_id),
            endpoint.settings,
            meter,
            ChatStreamParser(ids),
            self._clock,
        )

    def _book(self, call: ChatCall, outcome: Outcome, body: dict[str, Any]) -> ModelUsage:
        header = (
            call.head.headers.get("x-litellm-response-cost") if call.head and call.answer.is_json else None
        )
        usage = call.meter.usage(
            call.answer, outcome, body=body, prices=self._prices, header_cost=parse_cost(header)
        )
        if self._budget is not None:
            self._budget.settle(usage)
        self._record(usage)
        return usage

    async def _reserve(self, call: ChatCall, body: dict[str, Any]) -> None:
        if self._budget is None:
            return
        tokens = TokenCounts(
            input=estimate_input_tokens(body), output=self._budget.longest_output(self._max_tokens)
        )
        cost = self._prices.cost(body["model"], tokens)
        await self._budget.reserve(call.meter.call_id, CallEstimate(tokens.input + tokens.output, cost))


class _Blocks:
    """Makes the responses of one call: AgentScope joins their blocks by id."""

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
        """Carry the counts to AgentScope; what it has no field for is in ``ChatUsage.metadata``."""
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
