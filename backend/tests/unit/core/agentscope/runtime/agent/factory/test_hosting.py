"""What every agent of a factory keeps, whatever it is: events, gate, approvals, cancel, checkpoints, ledger, limits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any, cast

import pytest
from agentscope.agent import Agent, InjectionConfig, ReActConfig
from agentscope.event import CustomEvent as AgentScopeCustomEvent
from agentscope.exception import AgentOrientedException
from agentscope.message import AssistantMsg, TextBlock, UserMsg
from agentscope.middleware import MiddlewareBase
from agentscope.permission import (
    PermissionBehavior,
    PermissionContext,
    PermissionDecision,
    PermissionMode,
    PermissionRule,
)
from agentscope.state import AgentState
from agentscope.tool import FunctionTool, ToolBase, ToolChunk, Toolkit
from pydantic import BaseModel
from structlog.testing import capture_logs
from tests.support.foreign_models import ShopModel, foreign_model
from tests.support.model_in_memory import HANG, STRUCTURED, Asks, intent
from tests.support.stage_run import PAY, PICK, YES, Run, after, conversation, no_login, user

from core.agentscope.events.state_parts import whole_text
from core.agentscope.runtime.agent.factory import examination, hosting
from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.factory.guarded_tools import ToolGuard
from core.agentscope.runtime.agent.thread_memory import GatedCall, ThreadMemory
from core.agentscope.runtime.profile.profile import Limits
from core.agentscope.runtime.stop_signal import RunStopped
from core.agentscope.schemas.internal_events import (
    CustomEvent,
    InterruptRequested,
    ModelUsage,
    ToolCallEnded,
    ToolResult,
)
from core.agentscope.tools.errors import ToolError
from core.errors import AgentFailed, BudgetExhausted, MaxIterations, ModelUnavailable

ALLOW = PermissionDecision(PermissionBehavior.ALLOW, "ours")
SHIP = Asks("ship", '{"order": "7"}', id="s1")
LOOK = Asks("look", "{}", id="l1")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Tracebacks of AgentScope take seconds to print."""
    with capture_logs():
        yield


def plain(run: AgentRun) -> Agent:
    """Make an agent as a script makes one: nothing of this service in it but the model."""
    return Agent(name="shop", system_prompt="Sell.", model=run.model)


def with_tools(*tools: ToolBase, **more: Any) -> Callable[[AgentRun], Agent]:
    def create(run: AgentRun) -> Agent:
        return Agent("shop", "Sell.", run.model, toolkit=Toolkit(tools=[*tools]), **more)

    return create


def tool_of(function: Any, **more: Any) -> ToolBase:
    """Make a tool of a function that returns text, as AgentScope takes it."""
    return FunctionTool(function, **more)


def ship(order: str) -> str:
    """Ship an order."""
    return f"shipped {order}"


async def test_an_agent_of_a_script_answers_in_the_conversation_of_the_thread() -> None:
    first = Run(["hello"], factory=plain)
    await first.run()
    second = Run(["again"], factory=plain, memory=after(first), messages=[user("more", "m2")])

    await second.run()

    assert (first.text, second.text) == ("hello", "again")
    assert second.remembered == [
        ("user", "hello"),
        ("assistant", "hello"),
        ("user", "more"),
        ("assistant", "again"),
    ]
    assert second.steps == ["+execution", "-execution"]


async def test_a_factory_is_called_once_a_run_and_told_about_it() -> None:
    told: list[AgentRun] = []

    async def create(run: AgentRun) -> Agent:
        told.append(run)
        return Agent("shop", run.system_prompt, run.model, state=run.state)

    made = Run(
        ["hello"],
        factory=create,
        claims={"groups": ["staff"]},
        options={"page": "cart"},
        situation=[{"description": "page", "value": "cart"}],
        structured=intent(plan=["look"]),
        memory=ThreadMemory(None, (), (), shared_state={"cart": 1}),
    )
    await made.run()

    (run,) = told
    assert (run.user, run.tenant, run.thread_id, run.run_id) == ("user", "tenant", "t-1", "r-1")
    assert (run.claims, run.resources, run.state_shared) == ({"groups": ["staff"]}, "a pool", {"cart": 1})
    assert run.forwarded_props["page"] == "cart"
    assert [(item.description, item.value) for item in run.context] == [("page", "cart")]
    assert (run.intent.kind, run.intent.plan) == ("task", ["look"])
    assert run.http is made.kit.services.client
    assert not run.is_check


async def test_a_plain_factory_runs_in_a_thread_so_that_it_may_block() -> None:
    threads: list[bool] = []

    def create(run: AgentRun) -> Agent:
        threads.append(threading.current_thread() is threading.main_thread())
        return plain(run)

    await Run(["hello"], factory=create).run()

    assert threads == [False]


async def test_no_tool_acts_before_the_end_of_its_call_was_emitted() -> None:
    acted: list[bool] = []

    async def look() -> str:
        acted.append(any(isinstance(event, ToolCallEnded) for event in made.events))
        return "seen"

    made = Run([LOOK], ["done"], factory=with_tools(tool_of(look, permission=ALLOW)))
    await made.run()

    assert acted == [True]
    assert [result.content for result in made.of(ToolResult)] == ["seen"]


async def test_the_gate_stands_before_the_middlewares_of_the_user() -> None:
    acted: list[bool] = []

    class Eager(MiddlewareBase):
        async def on_acting(
            self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any
        ) -> AsyncGenerator[Any, None]:
            acted.append(any(isinstance(event, ToolCallEnded) for event in made.events))
            async for item in next_handler(**input_kwargs):
                yield item

    def create(run: AgentRun) -> Agent:
        tools = Toolkit(tools=[tool_of(ship, permission=ALLOW)])
        return Agent("shop", "Sell.", run.model, toolkit=tools, middlewares=[Eager(), *run.middlewares])

    made = Run([SHIP], ["done"], factory=create)
    await made.run()

    assert acted == [True]


class OwnPermission(ToolBase):
    """A tool with a permission of its own, as users write them."""

    name, description = "ship", "Ships."
    is_concurrency_safe, is_read_only = True, False

    def __init__(self) -> None:
        super().__init__()
        self.input_schema = {"type": "object", "properties": {"order": {"type": "string"}}}

    async def check_permissions(self, tool_input: dict[str, Any], context: PermissionContext) -> Any:
        return PermissionDecision(PermissionBehavior.PASSTHROUGH, "whoever is responsible")

    async def call(self, order: str = "") -> ToolChunk:
        return ToolChunk(content=[TextBlock(text=f"shipped {order}")])


@pytest.mark.parametrize("tool", [tool_of(ship), OwnPermission()], ids=["function", "own class"])
async def test_a_tool_that_asks_becomes_an_interrupt_and_its_approval_runs_it(tool: ToolBase) -> None:
    both: list[str | Asks] = [SHIP, Asks("ship", '{"order": "8"}', id="s2")]
    first = Run(both, factory=with_tools(tool))
    assert (await first.run()).outcome == "interrupt"
    questions = first.of(InterruptRequested)
    assert [question.tool_call_id for question in questions] == ["s1", "s2"]
    assert questions[0].response_schema["properties"] == {"approved": {"type": "boolean"}}

    decided = (
        GatedCall("s1", "ship", '{"order": "7"}', approved=True, edited=None),
        GatedCall("s2", "ship", '{"order": "8"}', approved=False, edited=None),
    )
    second = Run(
        ["done"], factory=with_tools(tool), memory=after(first, gated_calls=decided), messages=[], resume=YES
    )
    await second.run()

    assert {result.tool_call_id: result.state for result in second.of(ToolResult)} == {
        "s1": "success",
        "s2": "denied",
    }
    assert second.text == "done"


@pytest.mark.parametrize("own_toolkit", [False, True])
async def test_a_call_of_a_user_s_agent_waits_for_the_login_as_well(own_toolkit: bool) -> None:
    def create(run: AgentRun) -> Agent:
        toolkit = run.toolkit(Toolkit(tools=[tool_of(ship)])) if own_toolkit else None
        return Agent("shop", "Sell.", run.model, toolkit=toolkit)

    first = Run([PAY], factory=create, login=no_login)
    assert (await first.run()).outcome == "interrupt"
    (question,) = first.of(InterruptRequested)
    assert (question.reason, question.metadata["url"]) == ("connection_required", "https://login.test/")

    back = (GatedCall("c1", "pay", '{"euros": 5}', approved=True, edited=None, about_login=True),)
    second = Run(["done"], factory=create, memory=after(first, gated_calls=back), messages=[], resume=YES)
    await second.run()

    assert (second.log, second.text) == (["durable", "paid 5 for r-1:c1"], "done")


@pytest.mark.parametrize("is_foreign", [False, True], ids=["our model", "foreign model"])
async def test_a_decision_and_a_new_message_need_one_agent(is_foreign: bool) -> None:
    made_agents: list[Agent] = []
    runs: list[Run] = []

    def create(run: AgentRun) -> Agent:
        model = foreign_model(runs[-1].model) if is_foreign else run.model
        made_agents.append(Agent("shop", "Sell.", model, toolkit=Toolkit(tools=[tool_of(ship)])))
        return made_agents[-1]

    first = Run([SHIP], factory=create)
    runs.append(first)
    await first.run()
    decided = (GatedCall("s1", "ship", '{"order": "7"}', approved=True, edited=None),)
    second = Run(
        ["done"],
        factory=create,
        memory=after(first, gated_calls=decided),
        messages=[user("and?", "m2")],
        resume=YES,
    )
    runs.append(second)

    await second.run()

    assert [result.content for result in second.of(ToolResult)] == ["shipped 7"]
    assert second.text == "done"
    assert second.steps == ["+execution", "-execution"] * 2
    assert len(made_agents) == 2


async def test_tools_of_the_profile_and_the_client_are_there_too() -> None:
    made = Run([Asks("pick", "{}")], factory=with_tools(tool_of(ship, permission=ALLOW)), tools=[PICK])

    end = await made.run()

    assert sorted(made.model.offered[0]) == ["pay", "pick", "ship"]
    assert end.pending_tool_call_ids == ("c1",)


class External(OwnPermission):
    """A tool that something outside the agent executes."""

    is_external_tool = True

    async def check_permissions(self, tool_input: dict[str, Any], context: PermissionContext) -> Any:
        return ALLOW


async def test_an_external_tool_of_the_user_becomes_a_client_tool() -> None:
    made = Run([SHIP], factory=with_tools(External()))

    assert (await made.run()).pending_tool_call_ids == ("s1",)
    assert made.of(ToolResult) == []


@pytest.mark.parametrize("mode", [PermissionMode.BYPASS, PermissionMode.ACCEPT_EDITS])
async def test_no_permission_of_the_agent_lets_a_tool_act_for_which_the_profile_asks(
    mode: PermissionMode,
) -> None:
    def create(run: AgentRun) -> Agent:
        state = AgentState(permission_context=PermissionContext(mode=mode))
        return Agent("shop", "Sell.", run.model, toolkit=run.toolkit(), state=state, middlewares=[AllowAll()])

    class AllowAll(MiddlewareBase):
        async def on_check_permission(
            self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any
        ) -> Any:
            return PermissionDecision(PermissionBehavior.ALLOW, "all")

    made = Run([PAY], factory=create, permission="ask")

    assert (await made.run()).outcome == "interrupt"
    assert made.log == []


async def test_the_permission_mode_bypass_does_not_let_a_tool_act_without_asking() -> None:
    state = AgentState(permission_context=PermissionContext(mode=PermissionMode.BYPASS))
    made = Run([SHIP], factory=with_tools(tool_of(ship), state=state))

    assert (await made.run()).outcome == "interrupt"


async def test_permission_rules_do_not_follow_a_thread_to_another_agent() -> None:
    def allows(run: AgentRun) -> Agent:
        rule = PermissionRule(
            tool_name="ship", rule_content=None, behavior=PermissionBehavior.ALLOW, source="code"
        )
        run.state.permission_context.allow_rules["ship"] = [rule]
        return with_tools(tool_of(ship), state=run.state)(run)

    first = Run([SHIP], ["done"], factory=allows)
    await first.run()
    # An older version has stored them.
    state = AgentState(permission_context=first.orchestrator._state.permission_context)
    for memory in (after(first), ThreadMemory(state, (), ())):
        second = Run(
            [Asks("ship", '{"order": "8"}', id="s2")],
            factory=lambda run: with_tools(tool_of(ship), state=run.state)(run),
            memory=memory,
            messages=[user("more", "m2")],
        )
        assert (await second.run()).outcome == "interrupt"

    assert [result.content for result in first.of(ToolResult)] == ["shipped 7"]


async def test_a_state_of_its_own_is_how_a_thread_begins() -> None:
    def create(run: AgentRun) -> Agent:
        state = AgentState(
            context=[UserMsg("user", "2+2?"), AssistantMsg("bot", "4")], middle_context={"k": 1}
        )
        return Agent("shop", "Sell.", run.model, state=state)

    first = Run(["hello"], factory=create)
    await first.run()
    second = Run(["again"], factory=create, memory=after(first), messages=[user("more", "m2")])
    await second.run()

    begins = [("user", "2+2?"), ("assistant", "4"), ("user", "hello"), ("assistant", "hello")]
    assert first.remembered == begins
    assert second.remembered == [*begins, ("user", "more"), ("assistant", "again")]


async def test_a_cancel_stops_the_agent_and_keeps_what_was_said() -> None:
    made = Run(["begun", HANG], factory=plain)
    running = asyncio.create_task(made.run())
    await made.model.hangs.wait()

    made.stop.set("user")
    with pytest.raises(RunStopped):
        await running

    assert made.text == "begun"
    assert conversation(made.orchestrator.checkpoint())[-1] == ("assistant", "begun")
    assert [usage.outcome for usage in made.of(ModelUsage)] == ["cancelled"]


async def test_the_time_of_day_is_written_only_by_who_asks_for_it() -> None:
    wanted = InjectionConfig(inject_runtime_state=True)
    silent, asked = Run(["hello"], factory=plain), Run(["hello"], factory=with_tools(injection_config=wanted))
    await silent.run()
    await asked.run()

    hints = ["hint" in whole_text(made.orchestrator.checkpoint().state) for made in (silent, asked)]
    assert hints == [False, True]


async def test_a_toolkit_and_an_agent_may_be_shared_by_runs() -> None:
    shared = Toolkit(tools=[tool_of(ship, permission=ALLOW)])
    agents: list[Agent] = []

    def create(run: AgentRun) -> Agent:
        if not agents:
            agents.append(Agent("shop", "Sell.", run.model, toolkit=shared))
        return agents[0]

    first = Run([SHIP], [HANG], factory=create)
    running = asyncio.create_task(first.run())
    await first.model.hangs.wait()
    second = Run(["other"], factory=create, tools=[PICK])
    await second.run()
    first.stop.set("user")
    with pytest.raises(RunStopped):
        await running

    assert second.remembered == [("user", "hello"), ("assistant", "other")]
    assert [tool.name for tool in shared.tool_groups[0].tools] == ["ship"]
    assert "pick" in second.model.offered[0]
    assert "pick" not in first.model.offered[0]


async def test_a_plain_function_does_not_block_the_worker() -> None:
    async def look() -> str:
        return str(threading.current_thread() is threading.main_thread())

    def wait() -> str:
        """Wait."""
        return str(threading.current_thread() is threading.main_thread())

    def pieces() -> Any:
        """Tell."""
        yield "a"
        yield str(threading.current_thread() is threading.main_thread())

    tools = [tool_of(each, permission=ALLOW) for each in (look, wait, pieces)]
    calls = [LOOK, Asks("wait", "{}", id="w1"), Asks("pieces", "{}", id="p1")]
    made = Run([*calls], ["done"], factory=with_tools(*tools))
    await made.run()

    results = {result.tool_call_id: result.content for result in made.of(ToolResult)}
    assert results == {"l1": "True", "w1": "False", "p1": "aFalse"}


async def test_the_model_reads_no_exception_but_those_made_for_it() -> None:
    def leaks() -> str:
        """Leak."""
        raise RuntimeError("db password=hunter2")

    def says() -> str:
        """Say."""
        raise ToolError("No such order. Ask for its number.")

    def leaves() -> str:
        """Leave."""
        raise SystemExit(3)

    def tells() -> str:
        """Tell."""
        raise AgentOrientedException("Orders have seven digits.")

    tools = [tool_of(each, permission=ALLOW) for each in (leaks, says, leaves, tells)]
    calls = [Asks(tool.name, "{}", id=tool.name) for tool in tools]
    made = Run([*calls], ["done"], factory=with_tools(*tools))
    await made.run()

    assert {result.tool_call_id: (result.state, result.content) for result in made.of(ToolResult)} == {
        "leaks": ("error", "The tool failed."),
        "says": ("error", "No such order. Ask for its number."),
        "leaves": ("error", "The tool failed."),
        "tells": ("error", "AgentOrientedException: Orders have seven digits."),
    }
    assert "hunter2" not in str(made.model.asked)


async def test_a_result_is_cut_to_what_a_tool_may_return() -> None:
    async def floods() -> AsyncGenerator[str, None]:
        for _ in range(1000):
            yield "x" * (64 << 10)

    made = Run([Asks("floods")], ["done"], factory=with_tools(tool_of(floods, permission=ALLOW)))
    await made.run()

    (result,) = made.of(ToolResult)
    assert "truncated" in result.content
    assert made.orchestrator.checkpoint().state.size < 1 << 20


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_tool_that_says_too_much_still_acts(is_async: bool) -> None:
    acted: list[str] = []

    def pieces() -> Iterator[str]:
        """Act."""
        for _ in range(100):
            yield "x" * (64 << 10)
        acted.append("acted")

    async def pieces_async() -> AsyncGenerator[str, None]:
        """Act."""
        for piece in pieces():
            yield piece

    tool = tool_of(pieces_async if is_async else pieces, name="pieces", permission=ALLOW)
    made = Run([Asks("pieces")], ["done"], factory=with_tools(tool))
    await made.run()

    (result,) = made.of(ToolResult)
    assert (result.state, acted) == ("success", ["acted"])
    assert "truncated" in result.content


async def test_a_tool_that_fails_after_too_much_text_has_failed() -> None:
    async def loud() -> AsyncGenerator[str, None]:
        yield "x" * (1 << 20)
        yield "x"
        raise ToolError("The disk is full.")

    made = Run([Asks("loud")], ["done"], factory=with_tools(tool_of(loud, permission=ALLOW)))
    await made.run()

    (result,) = made.of(ToolResult)
    assert result.state == "error"


async def test_a_generator_of_a_tool_is_closed_at_once_in_its_own_task() -> None:
    closed: list[bool] = []

    async def pieces() -> AsyncGenerator[str, None]:
        task = asyncio.current_task()
        try:
            yield "a"
        finally:
            closed.append(asyncio.current_task() is task)

    async def call() -> None:
        async with aclosing(ToolGuard(1000).stream("pieces", pieces)) as chunks:
            await anext(chunks)
        assert closed == [True]

    await asyncio.create_task(call())


async def test_a_run_without_calls_left_calls_no_tool_of_the_user() -> None:
    def acts() -> str:
        """Act."""
        made.log.append("acted")
        return "done"

    calls = [Asks("acts", "{}", id="a1"), Asks("acts", "{}", id="a2")]
    tool = tool_of(acts, permission=ALLOW, is_concurrency_safe=False)
    made = Run([*calls], ["done"], factory=with_tools(tool), limits={"max_tool_calls": 1})
    await made.run()

    assert made.log == ["acted"]
    assert [result.state for result in made.of(ToolResult)] == ["success", "error"]


@pytest.mark.parametrize(
    ("own", "profile", "most"), [(ReActConfig(max_iters=1), {}, 1), (None, {"max_iterations": 2}, 2)]
)
async def test_the_steps_of_the_agent_end(own: Any, profile: dict[str, Any], most: int) -> None:
    made = Run(
        *[list[str | Asks]([SHIP])] * most,
        ["summed up"],
        factory=with_tools(tool_of(ship, permission=ALLOW), react_config=own),
        limits=profile,
    )

    with pytest.raises(MaxIterations, match=f"after {most} steps"):
        await made.run()


async def test_events_of_the_user_s_middlewares_are_shown() -> None:
    class Tells(MiddlewareBase):
        async def on_reply(
            self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any
        ) -> AsyncGenerator[Any, None]:
            yield AgentScopeCustomEvent(name="shop.sources", value={"found": 3})
            yield AgentScopeCustomEvent(name="shop.large", value={"text": "x" * (1 << 20)})
            async for item in next_handler(**input_kwargs):
                yield item

    made = Run(["hello"], factory=with_tools(middlewares=[Tells()]))
    await made.run()

    shown = {event.name: event.value for event in made.of(CustomEvent)}
    assert shown["shop.sources"] == {"found": 3}
    assert list(shown["shop.large"]) == ["omittedBytes"]


# --- models of the user's own ---------------------------------------------------


def own_model(made: list[Run], **more: Any) -> Callable[[AgentRun], Agent]:
    def create(run: AgentRun) -> Agent:
        model = foreign_model(made[0].model, **more)
        return Agent("shop", "Sell.", model, toolkit=Toolkit(tools=[tool_of(ship, permission=ALLOW)]))

    return create


def owning(*script: Any, budget: Limits | None = None, **more: Any) -> Run:
    made: list[Run] = []
    made.append(Run(*script, factory=own_model(made, **more), budget=budget))
    return made[0]


async def test_a_model_of_the_user_is_in_the_ledger() -> None:
    made = owning([SHIP], ["done"])
    await made.run()

    usages = made.of(ModelUsage)
    assert [(each.model, each.provider, each.stage, each.outcome) for each in usages] == [
        ("theirs", "their-model", "execution", "completed")
    ] * 2
    assert all(each.output_tokens == 5 and not each.estimated and each.ttft_ms is not None for each in usages)
    assert made.text == "done"


async def test_a_model_of_the_user_is_paid_from_the_budget() -> None:
    made = owning(["never"], budget=Limits(max_tokens=3))

    with pytest.raises(BudgetExhausted):
        await made.run()
    assert made.model.asked == []


@pytest.mark.parametrize(
    ("status", "failure", "words"),
    [(401, ModelUnavailable, "refused its key"), (503, ModelUnavailable, "not available right now")],
)
async def test_a_failure_of_a_user_s_model_has_a_code_and_a_text(
    status: int, failure: Any, words: str
) -> None:
    made = owning(status)

    with pytest.raises(failure, match=words):
        await made.run()
    # A refused call costs nothing.
    assert made.of(ModelUsage) == []


async def test_a_subagent_in_a_tool_is_metered_by_the_model_it_is_given() -> None:
    def create(run: AgentRun) -> Agent:
        theirs = run.meter(foreign_model(made.model))

        async def research(question: str) -> str:
            child = Agent("child", "Research.", theirs)
            return (await child.reply(UserMsg("user", question))).get_text_content() or ""

        tools = Toolkit(tools=[tool_of(research, permission=ALLOW)])
        return Agent("shop", "Sell.", run.model, toolkit=tools)

    made = Run([Asks("research", '{"question": "q"}')], ["found"], ["done"], factory=create)
    await made.run()

    assert [each.model for each in made.of(ModelUsage)] == ["m", "theirs", "m"]
    assert [type(event).__name__ for event in made.events if isinstance(event, ModelUsage | ToolResult)] == [
        "ModelUsage",
        "ModelUsage",
        "ToolResult",
        "ModelUsage",
    ]


class Rereads(MiddlewareBase):
    """Asks a model of its own before each step."""

    def __init__(self, model: Any) -> None:
        self.model = model

    async def on_reasoning(
        self, agent: Any, input_kwargs: Any, next_handler: Any
    ) -> AsyncGenerator[Any, None]:
        async for _ in await self.model([UserMsg("user", "again")]):
            pass
        async for item in next_handler(**input_kwargs):
            yield item


class AroundItself(ShopModel):
    """Overrides the method that callers use, and leaves the provider to what it inherits."""

    async def __call__(self, *args: Any, **more: Any) -> Any:
        return await super().__call__(*args, **more)


@pytest.mark.parametrize("kind", [ShopModel, AroundItself])
async def test_models_that_tools_and_middlewares_ask_by_themselves_are_in_the_ledger(
    kind: type[ShopModel],
) -> None:
    class Found(BaseModel):
        words: str

    def create(run: AgentRun) -> Agent:
        theirs = foreign_model(made.model, kind)

        async def research(question: str) -> str:
            """Let another agent find something out, in a task of its own."""
            child = Agent("child", "Research.", theirs)
            answer = await asyncio.create_task(child.reply(UserMsg("user", question)))
            return answer.get_text_content() or ""

        async def extract(text: str) -> str:
            """Find the words."""
            structured = await theirs.generate_structured_output([UserMsg("user", text)], Found)
            return str(structured.content["words"])

        tools = [tool_of(research, permission=ALLOW), tool_of(extract, permission=ALLOW)]
        return Agent("shop", "Sell.", theirs, toolkit=Toolkit(tools=tools), middlewares=[Rereads(theirs)])

    made = Run(
        ["read"],
        [Asks("research", '{"question": "q"}')],
        ["found"],
        ["read"],
        [Asks("extract", '{"text": "t"}', id="c2")],
        ["read"],
        ["done"],
        factory=create,
    )
    made.model.structured = [Asks(STRUCTURED, '{"words": "w"}'), ""]
    await made.run()

    assert made.text == "done"
    assert [(each.model, each.estimated) for each in made.of(ModelUsage)] == [("theirs", False)] * 8
    assert len(made.model.asked) + len(made.model.asked_structured) == 8


# --- stages around it -----------------------------------------------------------


async def test_the_report_of_a_factory_s_agent_is_off_unless_the_profile_wants_it() -> None:
    silent = Run([], [], factory=plain)
    with pytest.raises(Exception, match="without an answer"):
        await silent.run()
    asked = Run([], ["the report"], factory=plain, stages={"report": "auto"})
    await asked.run()

    assert len(silent.model.asked) == 2
    assert asked.steps == ["+execution", "-execution", "+report", "-report"]


# --- what cannot be used --------------------------------------------------------


class NoGate(Agent):
    """An agent that calls tools in its own way."""

    async def _acting(self, tool_call: Any) -> AsyncGenerator[Any, None]:
        async for item in super()._acting(tool_call):
            yield item


class OwnState(AgentState):
    basket: int = 0


async def leaves(run: AgentRun) -> Agent:
    raise SystemExit(3)


@pytest.mark.parametrize(
    "create",
    [
        lambda run: "no agent",
        lambda run: Agent("shop", "Sell.", model=cast("Any", "gpt-4")),
        lambda run: NoGate("shop", "Sell.", run.model),
        lambda run: Agent("shop", "Sell.", run.model, state=OwnState()),
        lambda run: 1 / 0,
        leaves,
    ],
    ids=["no agent", "no model", "no gate", "own state", "a bug", "an exit"],
)
async def test_what_cannot_be_hosted_ends_the_run_with_a_code(create: Any) -> None:
    made = Run(factory=create)

    with pytest.raises(AgentFailed, match="operator"):
        await made.run()
    assert made.model.asked == []


async def test_a_bug_of_the_agent_s_own_code_ends_the_run_with_a_code() -> None:
    class Breaks(MiddlewareBase):
        async def on_model_call(self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any) -> Any:
            raise KeyError("secret")

    made = Run(factory=with_tools(middlewares=[Breaks()]))

    with pytest.raises(AgentFailed) as failed:
        await made.run()
    assert "secret" not in failed.value.detail


async def test_a_factory_that_does_not_return_ends_the_run_and_refuses_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def create(run: AgentRun) -> Agent:
        await asyncio.Event().wait()
        raise AssertionError

    for module in (hosting, examination):
        monkeypatch.setattr(module, "FACTORY_SECONDS", 0.01)
    made = Run(factory=create)

    with pytest.raises(AgentFailed, match="not made in time"):
        await made.run()
    assert "did not return within" in (await examination.examine(made.kit)).problems[0]


async def test_a_factory_that_swallows_a_cancel_does_not_keep_a_stopped_run() -> None:
    begun = asyncio.Event()

    async def create(run: AgentRun) -> Agent:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()
        raise AssertionError

    made = Run(factory=create)
    running = asyncio.create_task(made.run())
    await begun.wait()
    made.stop.set("user")

    with pytest.raises(RunStopped):
        await running
