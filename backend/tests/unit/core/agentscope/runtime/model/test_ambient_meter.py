"""What a user's code asks of models by itself: booked while the run lives, and never refused afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from agentscope.agent import Agent
from agentscope.message import UserMsg
from structlog.testing import capture_logs
from structlog.typing import EventDict
from tests.support.foreign_models import foreign_model
from tests.support.model_in_memory import Asks, ModelInMemory
from tests.support.stage_run import Run

from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.model.ambient_meter import book_with, metered_run
from core.agentscope.runtime.model.metered_model import ForeignMeter
from core.agentscope.runtime.profile.profile import Limits
from core.agentscope.schemas.internal_events import ModelUsage, ToolResult
from core.agentscope.tools.function_tool import tool
from core.errors import BudgetExhausted, LeaseLost

RESEARCH = Asks("research", '{"question": "q"}')


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    with capture_logs() as logs:
        yield logs


def told(logs: list[EventDict]) -> int:
    return sum(each["event"] == "model_call_unmetered" for each in logs)


async def ask(model: Any) -> str:
    return "".join(
        [each.content[0].text async for each in await model([UserMsg("user", "q")]) if each.is_last]
    )


class Fence:
    """The ledger of a run: it takes no lines once the run has ended."""

    def __init__(self) -> None:
        self.ended = False
        self.usages: list[ModelUsage] = []
        self.writing = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def begin(self, opening: ModelUsage) -> None:
        self.writing.set()
        await self.may_go_on.wait()
        if self.ended:
            raise LeaseLost

    def take_back(self, call_id: str) -> None:
        pass

    def meter(self, endpoint: ModelInMemory) -> ForeignMeter:
        ledger: Any = self
        return ForeignMeter(endpoint.services(calls_ahead=ledger), self.usages.append)


async def test_a_task_that_outlives_its_run_is_answered_and_the_log_says_once_that_nobody_pays(
    logged: list[EventDict],
) -> None:
    endpoint, first, second = (
        ModelInMemory(["said"], ["said"], ["said"], ["said"], ["said"]),
        Fence(),
        Fence(),
    )
    model, queue = foreign_model(endpoint), asyncio.Queue[asyncio.Future[str]]()

    async def of_all_users() -> None:
        while True:
            asked = await queue.get()
            asked.set_result(await ask(model))

    async def ask_the_task() -> str:
        asked = asyncio.get_running_loop().create_future()
        queue.put_nowait(asked)
        return await asked

    with metered_run():
        book_with(first.meter(endpoint))
        shared = asyncio.create_task(of_all_users())
        assert await ask_the_task() == "said"
    first.ended = True
    assert (len(first.usages), told(logged)) == (1, 0)

    with metered_run():
        book_with(second.meter(endpoint))
        assert [await ask_the_task(), await ask_the_task()] == ["said"] * 2
        assert await ask(model) == "said"
    assert await ask_the_task() == "said"

    shared.cancel()
    assert (len(first.usages), len(second.usages), told(logged)) == (1, 1, 1)
    assert len(endpoint.asked) == 5


async def test_a_call_whose_run_ends_while_its_line_is_written_is_answered(logged: list[EventDict]) -> None:
    endpoint, fence = ModelInMemory(["said"]), Fence()
    fence.may_go_on.clear()
    with metered_run():
        book_with(fence.meter(endpoint))
        task = asyncio.create_task(ask(foreign_model(endpoint)))
        await fence.writing.wait()
    fence.ended = True
    fence.may_go_on.set()

    assert await task == "said"
    assert (fence.usages, told(logged), len(endpoint.asked)) == ([], 1, 1)


async def test_a_run_that_is_lost_while_it_lives_sends_nothing() -> None:
    endpoint, fence = ModelInMemory(), Fence()
    fence.ended = True
    with metered_run():
        book_with(fence.meter(endpoint))
        with pytest.raises(LeaseLost):
            await ask(foreign_model(endpoint))
    assert endpoint.asked == []


# --- tools of a profile ---------------------------------------------------------


def research_tool(endpoint: list[Run]) -> Any:
    async def research(question: str) -> str:
        """Let another agent find something out.

        Args:
            question: What to find.
        """
        child = Agent("child", "Research.", foreign_model(endpoint[0].model))
        return (await child.reply(UserMsg("user", question))).get_text_content() or ""

    return tool(permission="allow")(research)


@pytest.mark.parametrize("by", ["the agent", "a subagent"])
async def test_what_a_tool_of_a_profile_asks_by_itself_is_in_the_ledger(by: str) -> None:
    made: list[Run] = []
    asks: list[Any] = [[RESEARCH], ["found"], ["done"]]
    more: dict[str, Any] = {}
    if by == "a subagent":
        asks = [[Asks("helper", '{"task": "t"}', id="h1")], *asks, ["done"]]
        more = {"subagents": [{"name": "helper", "description": "d", "prompt": "p", "tools": ["research"]}]}
    made.append(Run(*asks, more_tools=[research_tool(made)], **more))
    await made[0].run()

    expected = ["m", "theirs", "m"] if by == "the agent" else ["m", "m", "theirs", "m", "m"]
    assert sorted(each.model for each in made[0].of(ModelUsage)) == sorted(expected)
    assert made[0].text.endswith("done")


async def test_what_a_tool_of_a_profile_asks_by_itself_is_paid_from_the_budget() -> None:
    made: list[Run] = []
    long = Asks("research", f'{{"question": "{"why " * 1000}"}}')
    made.append(Run([long], ["never"], more_tools=[research_tool(made)], budget=Limits(max_tokens=500)))

    with pytest.raises(BudgetExhausted):
        await made[0].run()
    assert len(made[0].model.asked) == 1
    # Like a tool of a factory's agent: the model reads why.
    assert "budget" in made[0].of(ToolResult)[0].content


@pytest.mark.parametrize("when", ["always", "tool"])
@pytest.mark.parametrize("is_hosted", [False, True])
async def test_what_a_search_asks_by_itself_is_in_the_ledger(when: str, is_hosted: bool) -> None:
    made: list[Run] = []

    async def search(query: str, run: AgentRun) -> list[str]:
        return [await ask(foreign_model(made[0].model))]

    call: list[Any] = [] if when == "always" else [[Asks("search_knowledge", '{"query": "q"}')]]
    factory = (lambda run: Agent("shop", "Sell.", run.model)) if is_hosted else None
    made.append(Run(*call, ["ranked"], ["done"], search=search, knowledge={"when": when}, factory=factory))
    await made[0].run()

    assert [each.model for each in made[0].of(ModelUsage)] == ["m"] * len(call) + ["theirs", "m"]


async def test_a_run_that_asks_no_foreign_model_says_nothing(logged: list[EventDict]) -> None:
    run = Run(["Hi"], ["Bye"], stages={"report": "always"})
    await run.run()
    assert [each.model for each in run.of(ModelUsage)] == ["m"] * 2
    assert told(logged) == 0
