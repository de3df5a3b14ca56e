"""Meters a chat model that is not ours: any ``ChatModelBase`` of a user.

``metered(model, meter)`` returns a model that shares all attributes with the user's and is an instance of the same
class. Only its calls of the provider go through the meter: each is asked of the budget, has a line in the ledger before
it leaves, and is booked once, however it ends. Formatter, token counts, structured output, retries and everything else
are the user's own.

A class that overrides ``__call__`` or ``generate_structured_output`` may talk to its provider there. Then that method is
one call, whatever it does inside.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from functools import cache
from inspect import isasyncgen
from typing import Any

from agentscope.model import ChatModelBase, ChatResponse, FinishedReason, StructuredResponse

from core.agentscope.events.ledger.budget_store import CallEstimate
from core.agentscope.runtime.model.call_services import CallServices
from core.agentscope.runtime.model.chat_meter import CallMeter, Outcome
from core.agentscope.runtime.model.file_contents import with_files
from core.agentscope.runtime.model.foreign_calls import ForeignAnswer, cost_nothing, provider_of
from core.agentscope.runtime.model.token_counts import TokenCounts
from core.agentscope.schemas.internal_events import CallStage, ModelUsage

_KEPT_FAILURES = 8
_inside: ContextVar[bool] = ContextVar("inside_a_metered_call", default=False)


class ForeignMeter:
    """Books the calls of the foreign models of one run.

    Args:
        services: Budget, ledger, prices and clock of the run.
        record: Takes the ledger's line of each call, before the call's last response or its error.
        stage: The stage that the calls are booked under.
    """

    def __init__(
        self, services: CallServices, record: Callable[[ModelUsage], None], stage: CallStage = "execution"
    ) -> None:
        self.stage: CallStage = stage
        self._services = services
        self._record = record
        budget = services.budget
        self._budget = budget if budget is not None and budget.active else None
        self._failures: deque[BaseException] = deque(maxlen=_KEPT_FAILURES)

    def failed_with(self, error: BaseException) -> bool:
        """Tell whether an error came out of a model call."""
        return any(each is error for each in self._failures)

    async def given(self, messages: Any) -> Any:
        """Return the messages of a call with the bytes of their files."""
        return await with_files(messages, self._services.files)

    async def ask(self, model: ChatModelBase, estimate: int, send: Callable[[], Awaitable[Any]]) -> Any:
        """Make one call; returns what ``send`` returns, a stream with the meter around it.

        Raises:
            BudgetExhausted: Nothing was sent.
            Exception: What the model raised.
        """
        call = _Call(self, model, estimate)
        await call.begin()
        token = _inside.set(True)
        try:
            answer = await send()
        except BaseException as exc:
            await call.end(exc)
            raise
        finally:
            _inside.reset(token)
        if isasyncgen(answer):
            responses: Any = answer
            return _stream(call, responses)
        call.take(answer)
        await call.end()
        return answer


class _Call:
    """One call: begun, and booked exactly once."""

    def __init__(self, owner: ForeignMeter, model: ChatModelBase, estimate: int) -> None:
        provider = provider_of(model)
        self._owner = owner
        self._services = owner._services
        self._meter = CallMeter(owner.stage, provider, model.model, owner._services.clock)
        self._answer = ForeignAnswer(provider, estimate)
        self._interrupted = False
        self._ended = False
        self._max_tokens: int | None = getattr(getattr(model, "parameters", None), "max_tokens", None)
        self._model = model.model

    async def begin(self) -> None:
        budget = self._owner._budget
        call_id = self._meter.call_id
        if budget is not None:
            tokens = self._answer.tokens or TokenCounts()
            most = TokenCounts(input=tokens.input, output=budget.longest_output(self._max_tokens))
            cost = self._services.prices.cost(self._model, most)
            await budget.reserve(call_id, CallEstimate(most.input + most.output, cost))
        if self._services.calls_ahead is not None:
            try:
                await self._services.calls_ahead.begin(
                    self._meter.opening(self._answer, body={}, prices=self._services.prices)
                )
            except BaseException:
                # The line may be there, and nothing was sent.
                self._services.calls_ahead.take_back(call_id)
                if budget is not None:
                    await budget.release(call_id)
                raise

    def take(self, response: Any) -> None:
        if not isinstance(response, ChatResponse | StructuredResponse):
            return
        self._meter.first_delta()
        self._interrupted = response.finished_reason == FinishedReason.INTERRUPTED
        self._answer.take(response)

    async def end(self, error: BaseException | None = None) -> None:
        """Book the call; calling it again changes nothing."""
        if self._ended:
            return
        self._ended = True
        self._meter.stop()
        outcome: Outcome = "cancelled" if self._interrupted else "completed"
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            outcome = "cancelled"
        elif error is not None:
            self._owner._failures.append(error)
            outcome = "failed"
            if not self._meter.answering and cost_nothing(error):
                await self._nothing_to_pay()
                return
        usage = self._meter.usage(self._answer, outcome, body={}, prices=self._services.prices)
        if self._owner._budget is not None:
            self._owner._budget.settle(usage)
        self._owner._record(usage)

    async def _nothing_to_pay(self) -> None:
        if self._services.calls_ahead is not None:
            self._services.calls_ahead.take_back(self._meter.call_id)
        if self._owner._budget is not None:
            await self._owner._budget.release(self._meter.call_id)


async def _stream(call: _Call, responses: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    async with aclosing(responses):
        try:
            while (response := await _next(responses)) is not None:
                call.take(response)
                if getattr(response, "is_last", False):
                    # Now: whoever has the last response may not ask for another one.
                    await call.end()
                yield response
        except BaseException as exc:
            await call.end(exc)
            raise
    await call.end()


async def _next(responses: AsyncGenerator[Any, None]) -> Any:
    token = _inside.set(True)
    try:
        return await anext(responses, None)
    finally:
        _inside.reset(token)


class Metered:
    """Marks a metered model."""


def meter_of(model: Any) -> ForeignMeter:
    """Return the meter of a metered model."""
    return model._foreign_meter


def metered(model: ChatModelBase, meter: ForeignMeter) -> ChatModelBase:
    """Return the model with a meter around its calls. The given model itself is not changed.

    A model that is metered already gets the new meter.
    """
    kind = type(model)
    same = object.__new__(_metered_kind(kind.__mro__[1] if isinstance(model, Metered) else kind))
    # The very same attributes, so that a model may count or learn something between runs.
    object.__setattr__(same, "__dict__", model.__dict__)
    object.__setattr__(same, "_foreign_meter", meter)
    return same


@cache
def _metered_kind(kind: type[ChatModelBase]) -> type[ChatModelBase]:
    """Return the class of the metered models of a class."""
    by_call = kind.__call__ is not ChatModelBase.__call__
    by_structured = kind.generate_structured_output is not ChatModelBase.generate_structured_output

    async def estimate(self: Any, messages: Any, tools: Any) -> int:
        # The base class counts bytes. A model's own way may ask its provider.
        return await ChatModelBase.count_tokens(self, messages, tools)

    async def _call_api(
        self: Any, model_name: str, messages: Any, tools: Any = None, tool_choice: Any = None, **more: Any
    ) -> Any:
        def send() -> Awaitable[Any]:
            return kind._call_api(self, model_name, messages, tools, tool_choice, **more)

        if _inside.get():
            return await send()
        messages = await meter_of(self).given(messages)
        return await meter_of(self).ask(self, await estimate(self, messages, tools), send)

    async def call(self: Any, messages: Any, tools: Any = None, tool_choice: Any = None, **more: Any) -> Any:
        def send() -> Awaitable[Any]:
            return kind.__call__(self, messages, tools, tool_choice, **more)

        if _inside.get():
            return await send()
        messages = await meter_of(self).given(messages)
        return await meter_of(self).ask(self, await estimate(self, messages, tools), send)

    async def generate_structured_output(self: Any, messages: Any, structured_model: Any, **more: Any) -> Any:
        def send() -> Awaitable[Any]:
            return kind.generate_structured_output(self, messages, structured_model, **more)

        if _inside.get():
            return await send()
        messages = await meter_of(self).given(messages)
        return await meter_of(self).ask(self, await estimate(self, messages, None), send)

    members: dict[str, Any] = {
        "__slots__": ("_foreign_meter",),
        "__module__": kind.__module__,
        "_call_api": _call_api,
    }
    if by_call:
        members["__call__"] = call
    if by_structured:
        members["generate_structured_output"] = generate_structured_output
    make: Any = type(kind)
    return make(kind.__name__, (kind, Metered), members)
