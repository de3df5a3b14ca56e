"""Middlewares of a profile: around its own agent and around a factory's, behind the gate, with metered models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from agentscope.agent import Agent
from agentscope.message import ToolCallState
from agentscope.middleware import MiddlewareBase
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.tool import FunctionTool, ToolBase
from structlog.testing import capture_logs
from tests.support.foreign_models import foreign_model
from tests.support.model_in_memory import Asks, intent
from tests.support.stage_run import PAY, PICK, YES, Run, after, user

from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME, GatedCall
from core.agentscope.runtime.stop_signal import RunStopped
from core.agentscope.schemas.internal_events import (
    InterruptRequested,
    ModelUsage,
    ToolCallEnded,
    ToolResult,
)
from core.errors import AgentFailed

ALLOW = PermissionDecision(PermissionBehavior.ALLOW, "ours")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Tracebacks of AgentScope take seconds to print."""
    with capture_logs():
        yield


class Says(MiddlewareBase):
    """Adds a word to the system prompt."""

    def __init__(self, word: str) -> None:
        self.word = word

    async def on_system_prompt(self, agent: Any, current_prompt: str) -> str:
        return f"{current_prompt} {self.word}"


def says(word: str) -> Any:
    async def create(run: AgentRun) -> MiddlewareBase:
        return Says(f"{word}-{run.user}")

    return create


def prompts(run: Run) -> list[str]:
    return [str(body["messages"][0]["content"]) for body in run.model.asked]


async def test_middlewares_stand_in_the_order_of_the_profile_and_are_made_for_the_user_of_the_run() -> None:
    run = Run(["hello"], middlewares=[says("first"), Says("second")], caller="ada")

    await run.run()

    assert prompts(run)[0].endswith("first-ada second")
    assert (run.text, run.remembered) == ("hello", [("user", "hello"), ("assistant", "hello")])


async def test_around_a_factory_s_agent_they_come_before_its_own() -> None:
    def create(run: AgentRun) -> Agent:
        return Agent("shop", "Sell.", run.model, middlewares=[Says("own")])

    run = Run(["hello"], factory=create, middlewares=[Says("profile")])
    await run.run()

    assert prompts(run) == ["Sell. profile own"]


async def test_other_stages_and_subagents_are_without_them() -> None:
    clerk = {"name": "clerk", "description": "Works.", "prompt": "Work."}
    run = Run(
        [Asks("clerk", '{"task": "work"}', id="k1")],
        ["worked"],
        ["done"],
        ["report"],
        middlewares=[Says("profile")],
        structured=intent(plan=["look"]),
        subagents=[clerk],
        stages={"intent": "model", "report": "always"},
    )

    await run.run()

    assert [prompt.endswith("profile") for prompt in prompts(run)] == [True, False, True, False]
    assert "1. look" in prompts(run)[0]
    assert "profile" not in str(run.model.asked_structured[0]["messages"][0])


class Eager(MiddlewareBase):
    def __init__(self, run: Run) -> None:
        self.run = run
        self.acted: list[bool] = []

    async def on_acting(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any
    ) -> AsyncGenerator[Any, None]:
        self.acted.append(any(isinstance(event, ToolCallEnded) for event in self.run.events))
        async for item in next_handler(**input_kwargs):
            yield item

    async def on_check_permission(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any
    ) -> PermissionDecision:
        return ALLOW


async def test_the_gate_stands_before_them_and_the_profile_s_permission_holds() -> None:
    made: list[Eager] = []

    async def eager(run: AgentRun) -> MiddlewareBase:
        made.append(Eager(runs[-1]))
        return made[-1]

    runs = [Run([PAY], ["paid"], middlewares=[eager])]
    await runs[0].run()
    runs.append(Run([PAY], middlewares=[eager], permission="ask"))
    asked = await runs[1].run()

    assert made[0].acted == [True]
    assert [result.content for result in runs[0].of(ToolResult)] == ["paid 5"]
    assert (asked.outcome, made[1].acted) == ("interrupt", [])
    (question,) = runs[1].of(InterruptRequested)
    call = GatedCall(question.tool_call_id, "pay", question.arguments, approved=True, edited=None)

    runs.append(
        Run(
            ["paid"],
            middlewares=[eager],
            permission="ask",
            memory=after(runs[1], gated_calls=(call,)),
            messages=[],
            resume=YES,
        )
    )
    await runs[2].run()

    assert [result.content for result in runs[2].of(ToolResult)] == ["paid 5"]


class Router(MiddlewareBase):
    """Answers by another model, and asks a second one by itself."""

    def __init__(self, chosen: Any, own: Any) -> None:
        self.chosen = chosen
        self.own = own

    async def on_model_call(self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any) -> Any:
        answer = await self.own(input_kwargs["messages"])
        async for _ in answer:
            pass
        return await next_handler(**input_kwargs | {"current_model": self.chosen})


async def test_the_models_that_a_middleware_chooses_and_asks_are_in_the_ledger() -> None:
    async def route(run: AgentRun) -> MiddlewareBase:
        return Router(foreign_model(made.model), run.meter(foreign_model(made.model)))

    made = Run(["thought"], ["hello"], middlewares=[route])
    await made.run()

    assert [usage.model for usage in made.of(ModelUsage)] == ["theirs", "theirs"]
    assert made.text == "hello"


class Search(MiddlewareBase):
    async def list_tools(self) -> list[ToolBase]:
        def pick(query: str) -> str:
            """Search."""
            return f"found {query}"

        tool: Any = FunctionTool
        return [tool(pick, permission=ALLOW)]


async def test_the_tools_of_a_middleware_are_offered_and_take_precedence_over_the_client_s() -> None:
    run = Run([Asks("pick", '{"query": "shoes"}', id="s1")], ["done"], middlewares=[Search()], tools=[PICK])

    await run.run()

    assert [result.content for result in run.of(ToolResult)] == ["found shoes"]


class Asking(Search):
    async def list_tools(self) -> list[ToolBase]:
        (tool,) = await super().list_tools()
        vars(tool)["_permission"] = None
        return [tool]


async def test_a_tool_of_a_middleware_that_asks_is_called_after_the_approval() -> None:
    asked = Run([Asks("pick", '{"query": "shoes"}', id="s1")], middlewares=[Asking()])
    assert (await asked.run()).outcome == "interrupt"
    call = GatedCall("s1", "pick", '{"query": "shoes"}', approved=True, edited=None)

    memory = after(asked, gated_calls=(call,))
    approved = Run(["done"], middlewares=[Asking()], memory=memory, messages=[], resume=YES)
    await approved.run()

    assert [result.content for result in approved.of(ToolResult)] == ["found shoes"]


async def test_a_call_of_a_middleware_s_tool_that_was_cut_off_gets_its_result_in_the_next_run() -> None:
    asked = Run([Asks("pick", '{"query": "shoes"}', id="s1")], middlewares=[Asking()])
    await asked.run()
    memory = after(asked)
    assert memory.state is not None
    for call in memory.state.get_unfinished_tool_calls(AGENT_NAME):
        # As if the worker had been lost in the middle of the call.
        call.state = ToolCallState.ALLOWED

    later = Run(["done"], middlewares=[Asking()], memory=memory, messages=[user("and?", "m2")])
    await later.run()

    assert [(result.tool_call_id, result.state) for result in later.of(ToolResult)] == [("s1", "interrupted")]


def broken(run: AgentRun) -> MiddlewareBase:
    raise KeyError("db password")


@pytest.mark.parametrize("made", [broken, lambda run: "no middleware"], ids=["fails", "is none"])
async def test_a_middleware_that_cannot_be_made_ends_the_run(made: Any) -> None:
    run = Run(["hello"], middlewares=[made])

    with pytest.raises(AgentFailed) as failed:
        await run.run()

    assert "password" not in failed.value.detail
    assert run.remembered == [("user", "hello")]


class Interferes(MiddlewareBase):
    """Does something before the agent is given the message."""

    def __init__(self, interfere: Any) -> None:
        self.interfere = interfere

    async def on_reply(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any
    ) -> AsyncGenerator[Any, None]:
        await self.interfere()
        async for item in next_handler(**input_kwargs):
            yield item


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("of_profile", [True, False])
async def test_the_message_is_kept_if_a_middleware_ends_before_the_agent_has_it(
    of_profile: bool, stopped: bool
) -> None:
    async def interfere() -> None:
        if not stopped:
            raise KeyError("shoes")
        run.stop.set("user")
        await asyncio.Event().wait()

    def create(run: AgentRun) -> Agent:
        return Agent("shop", "Sell.", run.model, middlewares=[Interferes(interfere)])

    run = Run(middlewares=[Interferes(interfere)]) if of_profile else Run(factory=create)
    with pytest.raises(RunStopped if stopped else AgentFailed):
        await run.run()

    assert run.remembered == [("user", "hello")]
