"""AgentScope's chat model for any OpenAI-compatible endpoint. See docs/adr/0006.

What a caller can rely on:

1. The deltas of one network read come together: one response per block, in order. A block is never reopened.
2. A call is retried only before its first delta, so nothing that was shown is taken back or repeated. When its
   tries are used up, the fallback (if any) gets as many; only two tries of a call may wait for the whole first-token
   timeout. Each further try is announced. A request that the provider found wrong is sent again only in another form,
   when the refusal says which (``chat_adapting``); otherwise it goes no further.
3. A call ends with the provider's end marker, or with an error once the first-token or the idle timeout is over.
4. Every call that can have cost something is recorded exactly once, however it ends (``chat_meter``), even when the
   worker dies (``calls_ahead``). A call begins only when its budget has room for it (``call_budget``).
5. A cancelled call closes its connection before the cancellation goes on.

The request is sent when the first response is asked for. A stream that nobody reads costs nothing and leaks nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import structlog
from agentscope.credential import CredentialBase
from agentscope.message import Msg
from agentscope.model import ChatModelBase, ChatResponse
from agentscope.tool import ToolChoice

from core.agentscope.events.ledger.budget_store import CallEstimate
from core.agentscope.runtime.model.argument_objects import ArgumentObjects
from core.agentscope.runtime.model.call_contents import CallContents
from core.agentscope.runtime.model.call_services import CallServices
from core.agentscope.runtime.model.chat_adapting import Adapting, Reduced
from core.agentscope.runtime.model.chat_blocks import CallBlocks
from core.agentscope.runtime.model.chat_call import ChatCall
from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.chat_errors import CallFailed, ModelRejected, log_failure
from core.agentscope.runtime.model.chat_meter import CallMeter, Outcome, estimate_input_tokens
from core.agentscope.runtime.model.chat_opaque import OpaqueValue
from core.agentscope.runtime.model.chat_request import (
    ChatFormatter,
    encode,
    format_tools,
    tool_call_ids,
)
from core.agentscope.runtime.model.chat_retry import RETRY_WINDOW_SECONDS, Tries, delay_seconds
from core.agentscope.runtime.model.chat_stream import ChatStreamParser
from core.agentscope.runtime.model.file_contents import with_files
from core.agentscope.runtime.model.outer_call import inner_call
from core.agentscope.runtime.model.quirks import Quirk, QuirkChoice
from core.agentscope.runtime.model.request_form import is_structured
from core.agentscope.runtime.model.text_as_call import TextAsCall
from core.agentscope.runtime.model.token_counts import TokenCounts, parse_cost
from core.agentscope.schemas.internal_events import CallStage, ModelRetrying, ModelUsage
from core.errors import ContentFiltered, ContextTooLong

log = structlog.get_logger(__name__)

_SHORTER = 0.7
"""Share of a refused conversation's tokens that counts as the model's context: then the agent compacts before it asks."""


class OpenAICompatibleChatModel(ChatModelBase):
    """A model of one stage of one run. Cheap to build: what is expensive is in ``CallServices``."""

    class Parameters(ChatModelBase.Parameters):
        """What the profile may set. An absent value is the provider's default."""

        temperature: float | None = None
        max_tokens: int | None = None
        """Longest answer in tokens, reasoning included."""

    type = "openai_compatible"

    def __init__(
        self,
        services: CallServices,
        *,
        model: str,
        stage: CallStage,
        record: Callable[[ModelUsage], None],
        keep: Callable[[OpaqueValue], None] = lambda _value: None,
        parameters: Parameters | None = None,
        fallback: ChatEndpoint | None = None,
        quirks: QuirkChoice | None = None,
    ) -> None:
        """Bind a model name to a stage.

        Args:
            services: Shared with the other models of the run.
            model: Name sent to the endpoint.
            stage: Stage the calls are booked under.
            record: Takes the ledger's line of each call, before the call's last response or its error. Called
                in the event loop; must not raise.
            keep: Takes what the provider wants back with later requests, before the call's last response. The
                conversation keeps the value by itself; ``keep`` is for showing it.
            parameters: Temperature and longest answer.
            fallback: Asked when this model cannot answer.
            quirks: What the profile says of the model's quirks.

        Raises:
            ValueError: ``services.settings.base_url`` is not an HTTP URL.
        """
        endpoint = ChatEndpoint(services.client, services.settings, model, quirks or QuirkChoice())
        super().__init__(
            # The key stays in the client: AgentScope's objects get logged and stored.
            credential=CredentialBase(name=endpoint.provider),
            model=model,
            parameters=parameters or self.Parameters(),
            # The base class retries without jitter, Retry-After or a limit; this class retries by itself.
            max_retries=0,
            context_size=services.quirks.context_tokens(endpoint.place, services.settings.context_tokens),
        )
        self.formatter = ChatFormatter(origin=endpoint.origin)
        self._endpoints = (endpoint,) if fallback is None else (endpoint, fallback)
        self._options = parameters or self.Parameters()
        self._stage: CallStage = stage
        self._record = record
        self._keep = keep
        self._services = services
        self._reduced: dict[str, Reduced] = {}
        """What each endpoint takes of the conversation only in part."""
        budget = services.budget
        self._budget = budget if budget is not None and budget.active else None

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
        tries = Tries()
        messages = await with_files(messages, self._services.files)
        for place, endpoint in enumerate(self._endpoints, start=1):
            spare = place < len(self._endpoints)
            # Formatted per endpoint: what one provider wants back must not be sent to another.
            said = await ChatFormatter(origin=endpoint.origin).format(messages)
            body = endpoint.body(
                {"messages": said, **rest},
                temperature=self._options.temperature,
                max_tokens=self._options.max_tokens,
            )
            try:
                async with aclosing(self._answer(endpoint, body, tries, spare=spare)) as responses:
                    async for response in responses:
                        yield response
            except CallFailed as failed:
                if (
                    not spare
                    or failed.answered
                    or isinstance(failed.error, ModelRejected | ContextTooLong | ContentFiltered)
                ):
                    raise failed.error from failed
                log.warning("model_fallback", stage=self._stage, model=self._endpoints[place].model)
                await self._announce(tries, 0, failed)
            else:
                return

    async def _answer(
        self, endpoint: ChatEndpoint, body: dict[str, Any], tries: Tries, *, spare: bool
    ) -> AsyncGenerator[ChatResponse, None]:
        """Ask one endpoint, with all the tries it has; ``spare`` says that another one can be asked after it.

        Raises:
            CallFailed: The last try failed.
        """
        adapting = Adapting(
            self._services.quirks, endpoint, body, self._reduced.get(endpoint.place, Reduced())
        )
        began = self._services.clock()
        retry = 1
        while True:
            asked = adapting.body()
            call = self._new_call(endpoint, encode(asked), [*tool_call_ids(body), *tool_call_ids(asked)])
            in_text = is_structured(body) and Quirk.NO_TOOLS in adapting.quirks
            reader = TextAsCall() if in_text else ArgumentObjects()
            failed: CallFailed | None = None
            async with aclosing(self._try(endpoint, call, asked, reader)) as responses:
                try:
                    async for response in responses:
                        yield response
                except CallFailed as exc:
                    failed = exc
            if failed is None:
                adapting.keep()
                self._reduced[endpoint.place] = adapting.reduced
                return
            failed.answered = call.meter.answering
            wait = delay_seconds(retry, failed.retry_after, self._services.dice)
            late = self._services.clock() - began + wait > RETRY_WINDOW_SECONDS
            last = not tries.may_follow(
                silent=failed.silent,
                own=retry,
                max_retries=endpoint.settings.max_retries,
                late=late,
                spare=spare,
            )
            if adapting.learn(failed, last=last):
                continue
            if adapting.context_tokens is not None:
                # Less than was refused, so that the agent's compaction begins at once.
                self.context_size = min(self.context_size, round(adapting.context_tokens * _SHORTER))
            log_failure(
                failed, endpoint.safe, call_id=call.meter.call_id, model=endpoint.model, stage=self._stage
            )
            if failed.answered or not failed.transient or last:
                raise failed
            await self._announce(tries, wait, failed)
            await self._services.sleep(wait)
            retry += 1

    async def _try(
        self,
        endpoint: ChatEndpoint,
        call: ChatCall,
        body: dict[str, Any],
        reader: TextAsCall | ArgumentObjects,
    ) -> AsyncGenerator[ChatResponse, None]:
        """Ask once, with the budget and the ledger around it.

        Raises:
            CallFailed: The try failed.
        """
        blocks = CallBlocks(call.meter.call_id)
        contents = CallContents.where_allowed(body)
        outcome: Outcome = "failed"
        usage: ModelUsage | None = None
        async with inner_call() as inner:
            await self._reserve(call, body)
            try:
                if self._services.calls_ahead is not None:
                    opening = call.meter.opening(call.answer, body=body, prices=self._services.prices)
                    await self._services.calls_ahead.begin(opening)
                async with aclosing(call.deltas()) as reads:
                    async for deltas in reads:
                        for delta in deltas:
                            for shown in reader.feed(delta):
                                if contents is not None:
                                    contents.take(shown)
                                yield blocks.response(shown)
                for shown in reader.finish():
                    if contents is not None:
                        contents.take(shown)
                    yield blocks.response(shown)
                outcome = "completed"
            except (asyncio.CancelledError, GeneratorExit):
                outcome = "completed" if call.answer.finished else "cancelled"
                raise
            finally:
                if call.sent and not call.refused:
                    usage = inner.paid = self._book(call, outcome, body, contents)
                elif self._services.calls_ahead is not None:
                    self._services.calls_ahead.take_back(call.meter.call_id)
                if usage is None and outcome == "failed" and self._budget is not None:
                    await self._budget.release(call.meter.call_id)
        # Only of a complete answer: a provider refuses a part of a signature.
        if (value := call.answer.opaque.value(endpoint.origin)) is not None:
            self._keep(value)
            yield blocks.opaque(value)
        if usage is not None:
            yield blocks.usage(usage)

    async def _announce(self, tries: Tries, wait: float, failed: CallFailed) -> None:
        tries.count += 1
        if self._services.announce is not None:
            await self._services.announce(
                ModelRetrying(attempt=tries.count, delay_ms=round(wait * 1000), code=failed.error.code)
            )

    def _new_call(self, endpoint: ChatEndpoint, content: bytes, ids: list[str]) -> ChatCall:
        meter = CallMeter(self._stage, endpoint.provider, endpoint.model, self._services.clock)
        return ChatCall(
            endpoint.client,
            endpoint.request(content, call_id=meter.call_id),
            endpoint.settings,
            meter,
            ChatStreamParser(ids),
            self._services.clock,
        )

    def _book(
        self, call: ChatCall, outcome: Outcome, body: dict[str, Any], contents: CallContents | None
    ) -> ModelUsage:
        header = (
            call.head.headers.get("x-litellm-response-cost") if call.head and call.answer.is_json else None
        )
        usage = call.meter.usage(
            call.answer, outcome, body=body, prices=self._services.prices, header_cost=parse_cost(header)
        )
        if self._budget is not None:
            self._budget.settle(usage)
        if contents is not None:
            usage.keep_contents(contents.attributes(usage.finish_reason))
        self._record(usage)
        return usage

    async def _reserve(self, call: ChatCall, body: dict[str, Any]) -> None:
        if self._budget is None:
            return
        tokens = TokenCounts(
            input=estimate_input_tokens(body), output=self._budget.longest_output(self._options.max_tokens)
        )
        cost = self._services.prices.cost(body["model"], tokens)
        await self._budget.reserve(call.meter.call_id, CallEstimate(tokens.input + tokens.output, cost))
