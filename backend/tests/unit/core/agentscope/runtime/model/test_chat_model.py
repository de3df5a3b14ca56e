"""The chat model's accounts: what it asks the budget and the ledger, and when. The wire is tested on a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agentscope.message import TextBlock, UserMsg
from agentscope.model import ChatResponse
from tests.support.model_in_memory import HANG, Answer, ModelInMemory

from core.agentscope.events.ledger.budget_store import CallEstimate
from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.schemas.internal_events import ModelUsage
from core.errors import BudgetExhausted, LeaseLost, ModelUnavailable

Parameters = OpenAICompatibleChatModel.Parameters


class Accounts:
    """A budget and a ledger that note what they are asked, in one order with the requests."""

    def __init__(
        self, endpoint: ModelInMemory, *, active: bool = True, refuses: Exception | None = None
    ) -> None:
        self.active = active
        self.log: list[str] = []
        self.estimates: list[CallEstimate] = []
        self._endpoint = endpoint
        self._refuses = refuses

    def _note(self, what: str) -> None:
        self.log.append(f"{what} after {len(self._endpoint.asked)}")

    def longest_output(self, max_tokens: int | None) -> int:
        return 100 if max_tokens is None else max_tokens

    async def reserve(self, call_id: str, estimate: CallEstimate) -> None:
        self._note("reserve")
        self.estimates.append(estimate)
        if self._refuses is not None:
            raise self._refuses

    def settle(self, usage: ModelUsage) -> None:
        self._note("settle")

    async def release(self, call_id: str) -> None:
        self._note("release")


class Ledger:
    """The ledger's lines that are written ahead."""

    def __init__(self, endpoint: ModelInMemory, refuses: Exception | None = None) -> None:
        self.log: list[str] = []
        self._endpoint = endpoint
        self._refuses = refuses

    async def begin(self, usage: ModelUsage) -> None:
        self.log.append(f"begin after {len(self._endpoint.asked)}, {usage.outcome}")
        if self._refuses is not None:
            raise self._refuses

    def take_back(self, call_id: str) -> None:
        self.log.append(f"take back after {len(self._endpoint.asked)}")


class Setup:
    """A model on an endpoint in memory, with its accounts."""

    def __init__(
        self,
        *script: Answer,
        active: bool = True,
        refuses: Exception | None = None,
        ledger_refuses: Exception | None = None,
        **options: Any,
    ) -> None:
        self.endpoint = ModelInMemory(*script)
        self.budget = Accounts(self.endpoint, active=active, refuses=refuses)
        self.ledger = Ledger(self.endpoint, ledger_refuses)
        self.records: list[ModelUsage] = []
        services = self.endpoint.services(budget=self.budget, calls_ahead=self.ledger)
        self.model = OpenAICompatibleChatModel(
            services, model="m", stage="execution", record=self.records.append, **options
        )

    async def ask(self) -> str:
        stream: Any = await self.model([UserMsg(name="user", content="hi")])
        responses: list[ChatResponse] = [response async for response in stream]
        return "".join(block.text for block in responses[-1].content if isinstance(block, TextBlock))


async def test_a_call_is_reserved_and_written_ahead_before_it_is_sent_and_settled_after() -> None:
    setup = Setup(["Hi"])

    assert await setup.ask() == "Hi"
    assert setup.budget.log == ["reserve after 0", "settle after 1"]
    assert setup.ledger.log == ["begin after 0, lost"]
    assert [record.outcome for record in setup.records] == ["completed"]


async def test_a_call_that_was_refused_costs_nothing_and_is_taken_back() -> None:
    setup = Setup(401)
    with pytest.raises(ModelUnavailable):
        await setup.ask()

    assert setup.budget.log == ["reserve after 0", "release after 1"]
    assert setup.ledger.log == ["begin after 0, lost", "take back after 1"]
    assert setup.records == []


async def test_a_call_that_does_not_fit_into_the_budget_is_not_sent() -> None:
    setup = Setup(["Hi"], refuses=BudgetExhausted("spent"))
    with pytest.raises(BudgetExhausted):
        await setup.ask()

    assert (setup.endpoint.asked, setup.ledger.log, setup.records) == ([], [], [])


async def test_a_call_that_cannot_be_written_ahead_is_not_sent() -> None:
    setup = Setup(["Hi"], ledger_refuses=LeaseLost())
    with pytest.raises(LeaseLost):
        await setup.ask()

    assert (setup.endpoint.asked, setup.records) == ([], [])


async def test_a_budget_without_limits_is_not_asked() -> None:
    setup = Setup(["Hi"], active=False)
    await setup.ask()

    assert setup.budget.log == []


async def test_an_estimate_counts_the_longest_answer() -> None:
    short, usual = Setup(["Hi"], parameters=Parameters(max_tokens=7)), Setup(["Hi"])
    await short.ask()
    await usual.ask()

    assert usual.budget.estimates[0].tokens - short.budget.estimates[0].tokens == 100 - 7


async def test_parameters_are_sent_and_what_is_absent_is_left_to_the_provider() -> None:
    given, absent = Setup(["Hi"], parameters=Parameters(temperature=0.5, max_tokens=9)), Setup(["Hi"])
    await given.ask()
    await absent.ask()

    assert {"temperature": 0.5, "max_tokens": 9}.items() <= given.endpoint.asked[0].items()
    assert {"temperature", "max_tokens"}.isdisjoint(absent.endpoint.asked[0])


async def test_a_cancelled_call_is_recorded_once_as_cancelled() -> None:
    setup = Setup(["Hel", HANG])
    asking = asyncio.create_task(setup.ask())
    await setup.endpoint.hangs.wait()
    asking.cancel()
    await asyncio.wait({asking})

    assert [record.outcome for record in setup.records] == ["cancelled"]
    assert setup.budget.log == ["reserve after 0", "settle after 1"]


async def test_a_fallback_answers_under_its_own_name_with_a_reservation_of_its_own() -> None:
    other = ModelInMemory(["From elsewhere"])
    services = other.services()
    setup = Setup(500, fallback=ChatEndpoint(services.client, services.settings, "other"))

    assert await setup.ask() == "From elsewhere"
    assert other.asked[0]["model"] == "other"
    assert [line.split()[0] for line in setup.budget.log] == ["reserve", "release", "reserve", "settle"]
    assert len(setup.records) == 1
