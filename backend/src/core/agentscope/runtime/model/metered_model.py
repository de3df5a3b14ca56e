"""Meters a chat model that is not ours: any ``ChatModelBase`` of a user.

``metered(model, meter)`` returns a model that shares all attributes with the user's and is an instance of the same
class. Only its calls of the provider go through the meter: each is asked of the budget, has a line in the ledger before
it leaves, and is booked once, however it ends. Formatter, token counts, structured output, retries and everything else
are the user's own.

A class that overrides ``__call__`` or ``generate_structured_output`` may talk to its provider there. Then that method is
one call, whatever it does inside. Only calls of our own model inside it are calls of their own (``outer_call``): a router
over ``run.model`` costs what ``run.model`` costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cache
from inspect import isasyncgen
from typing import Any

from agentscope.model import ChatModelBase, ChatResponse, FinishedReason, StructuredResponse

from core.agentscope.events.ledger.budget_store import CallEstimate
from core.agentscope.runtime.model.call_services import CallServices
from core.agentscope.runtime.model.chat_meter import CallMeter, Outcome
from core.agentscope.runtime.model.file_contents import with_files
from core.agentscope.runtime.model.foreign_calls import ForeignAnswer, cost_nothing, provider_of
from core.agentscope.runtime.model.outer_call import inside, is_inside
from core.agentscope.runtime.model.token_counts import TokenCounts
from core.agentscope.schemas.internal_events import CallStage, ModelUsage
from core.errors import AgentBackendError
from core.metrics.catalogue import MODEL_ERRORS
from core.metrics.instruments import OTHER

_KEPT_FAILURES = 8


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
        try:
            with inside(call):
                answer = await send()
        except BaseException as exc:
            await call.end(exc)
            raise
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
        self._reserved = False
        self._inner = _InnerCalls()

    async def begin(self) -> None:
        budget = self._owner._budget
        call_id = self._meter.call_id
        if budget is not None:
            tokens = self._answer.tokens or TokenCounts()
            most = TokenCounts(input=tokens.input, output=budget.longest_output(self._max_tokens))
            cost = self._services.prices.cost(self._model, most)
            await budget.reserve(call_id, CallEstimate(most.input + most.output, cost))
            self._reserved = True
        if self._services.calls_ahead is not None:
            try:
                await self._services.calls_ahead.begin(
                    self._meter.opening(self._answer, body={}, prices=self._services.prices)
                )
            except BaseException:
                # The line may be there, and nothing was sent.
                self._services.calls_ahead.take_back(call_id)
                await self._release()
                raise

    async def enter(self) -> None:
        """Make room in the budget for a call of ours inside: both reservations together may not fit."""
        self._inner.begun = True
        await self._release()
        self._inner.open += 1

    def leave(self, paid: ModelUsage | None) -> None:
        """Take note of the end of a call of ours inside."""
        self._inner.open -= 1
        if paid is not None:
            self._inner.paid.append((paid.input_tokens, paid.output_tokens))

    def take(self, response: Any) -> None:
        if not isinstance(response, ChatResponse | StructuredResponse):
            return
        self._meter.first_delta()
        self._interrupted = response.finished_reason == FinishedReason.INTERRUPTED
        self._answer.take(response)
        if (usage := response.usage) is not None:
            self._inner.told = (usage.input_tokens or 0, usage.output_tokens or 0)

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
            MODEL_ERRORS.add(error.code if isinstance(error, AgentBackendError) else OTHER)
            self._owner._failures.append(error)
            outcome = "failed"
            if not self._meter.answering and cost_nothing(error):
                await self._nothing_to_pay()
                return
        of_ours = outcome == "cancelled" or isinstance(error, AgentBackendError)
        if self._inner.cover_all(silent=of_ours and not self._answer.output_bytes):
            await self._nothing_to_pay()
            return
        usage = self._meter.usage(self._answer, outcome, body={}, prices=self._services.prices)
        if self._owner._budget is not None:
            self._owner._budget.settle(usage)
        self._owner._record(usage)

    async def _nothing_to_pay(self) -> None:
        if self._services.calls_ahead is not None:
            self._services.calls_ahead.take_back(self._meter.call_id)
        await self._release()

    async def _release(self) -> None:
        if self._reserved and self._owner._budget is not None:
            self._reserved = False
            await self._owner._budget.release(self._meter.call_id)


@dataclass(slots=True)
class _InnerCalls:
    """The calls of our own model inside a call."""

    begun: bool = False
    open: int = 0
    paid: list[tuple[int, int]] = field(default_factory=list)
    """Input and output tokens of those that are in the ledger."""
    told: tuple[int, int] | None = None
    """What the outer call itself says that it used."""

    def cover_all(self, *, silent: bool) -> bool:
        """Tell whether nothing is left to pay for the outer call.

        A model that says it used something else than the calls inside it has asked its own provider as well, such as a
        router that lets ``run.model`` choose.

        Args:
            silent: The outer call gave no answer, and its end is that of a call inside it.
        """
        if self.open:
            # Whoever left before the end: the call inside books itself when it is closed.
            return True
        if not self.paid:
            return self.begun and silent
        total = (sum(paid[0] for paid in self.paid), sum(paid[1] for paid in self.paid))
        return self.told in (None, total, *self.paid)


async def _stream(call: _Call, responses: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    try:
        # Closed before the call ends: calls inside it are booked then.
        async with aclosing(responses):
            while (response := await _next(call, responses)) is not None:
                call.take(response)
                if getattr(response, "is_last", False):
                    # Now: whoever has the last response may not ask for another one.
                    await call.end()
                yield response
    except BaseException as exc:
        await call.end(exc)
        raise
    await call.end()


async def _next(call: _Call, responses: AsyncGenerator[Any, None]) -> Any:
    with inside(call):
        return await anext(responses, None)


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

        if is_inside():
            return await send()
        messages = await meter_of(self).given(messages)
        return await meter_of(self).ask(self, await estimate(self, messages, tools), send)

    async def call(self: Any, messages: Any, tools: Any = None, tool_choice: Any = None, **more: Any) -> Any:
        def send() -> Awaitable[Any]:
            return kind.__call__(self, messages, tools, tool_choice, **more)

        if is_inside():
            return await send()
        messages = await meter_of(self).given(messages)
        return await meter_of(self).ask(self, await estimate(self, messages, tools), send)

    async def generate_structured_output(self: Any, messages: Any, structured_model: Any, **more: Any) -> Any:
        def send() -> Awaitable[Any]:
            return kind.generate_structured_output(self, messages, structured_model, **more)

        if is_inside():
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
