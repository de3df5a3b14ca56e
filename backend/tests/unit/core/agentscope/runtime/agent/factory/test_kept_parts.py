"""A factory that keeps what one run gave it: nothing of that run's user reaches the run of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agentscope.agent import Agent, ContextConfig, ModelConfig
from agentscope.middleware import MiddlewareBase
from agentscope.model import ChatModelBase
from agentscope.permission import PermissionMode
from agentscope.state import AgentState
from agentscope.tool import Toolkit
from structlog.testing import capture_logs
from tests.support.foreign_models import foreign_model
from tests.support.model_in_memory import ModelInMemory
from tests.support.stage_run import PAY, PICK, Run, user

from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.factory.examination import examine
from core.agentscope.runtime.agent.factory.installed_agent import own_agent
from core.agentscope.runtime.agent.factory.run_marks import new_mark
from core.agentscope.schemas.internal_events import ModelUsage
from core.errors import AgentFailed

Create = Callable[[AgentRun], Agent]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Tracebacks of AgentScope take seconds to print."""
    with capture_logs():
        yield


class Holds(MiddlewareBase):
    """A middleware of a user, with a model of its own."""

    def __init__(self, model: ChatModelBase) -> None:
        self.model = model

    async def on_model_call(self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any) -> Any:
        return await next_handler(**input_kwargs | {"current_model": self.model})


class Routes(Holds):
    """A router whose models nobody sees before it has chosen."""

    def __init__(self, model: ChatModelBase) -> None:
        super().__init__(model)
        self.models = [vars(self).pop("model")]

    async def on_model_call(self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any) -> Any:
        return await next_handler(**input_kwargs | {"current_model": self.models[0]})


def keeping(make: Callable[[AgentRun], Any], use: Callable[[AgentRun, Any], Agent]) -> Create:
    """Return a factory that makes something in its first call, and uses it in all."""
    kept: list[Any] = []

    def create(run: AgentRun) -> Agent:
        if not kept:
            kept.append(make(run))
        return use(run, kept[0])

    return create


def agent(run: AgentRun, **more: Any) -> Agent:
    members: dict[str, Any] = {"model": run.model, "toolkit": run.toolkit(), "state": run.state}
    return Agent("shop", "Sell.", middlewares=more.pop("middlewares", run.middlewares), **members | more)


KEEPING: dict[str, Callable[[], Create]] = {
    "agent": lambda: keeping(agent, lambda _run, kept: kept),
    "agent without state": lambda: keeping(
        lambda run: agent(run, state=AgentState()), lambda _run, kept: kept
    ),
    "toolkit": lambda: keeping(
        lambda run: run.toolkit(Toolkit()), lambda run, kept: agent(run, toolkit=kept)
    ),
    "toolkit merged again": lambda: keeping(
        lambda run: run.toolkit(Toolkit()), lambda run, kept: agent(run, toolkit=run.toolkit(kept))
    ),
    "tools": lambda: keeping(
        lambda run: run.toolkit().tool_groups[0].tools,
        lambda run, kept: agent(run, toolkit=Toolkit(tools=kept)),
    ),
    "model": lambda: keeping(lambda run: run.model, lambda run, kept: agent(run, model=kept)),
    "fallback": lambda: keeping(
        lambda run: run.model,
        lambda run, kept: agent(run, model=kept, model_config=ModelConfig(fallback_model=kept)),
    ),
    "model of a router": lambda: keeping(
        lambda run: Routes(run.model), lambda run, kept: agent(run, middlewares=[kept])
    ),
    "state": lambda: keeping(lambda run: run.state, lambda run, kept: agent(run, state=kept)),
    "copy of the state": lambda: keeping(
        lambda run: run.state, lambda run, kept: agent(run, state=kept.model_copy(deep=True))
    ),
}


@pytest.mark.parametrize("what", KEEPING)
async def test_nothing_of_one_user_s_run_reaches_the_run_of_another(what: str) -> None:
    create = KEEPING[what]()
    first = Run([PAY], ["done"], factory=create, caller="alice", messages=[user("my secret")], tools=[PICK])
    await first.run()
    second = Run([PAY], ["bye"], factory=create, caller="bob")
    await second.run()

    assert (first.payers, second.payers) == (["alice"], ["bob"])
    assert "secret" not in str(second.model.asked)
    assert second.model.offered == [["pay"]] * 2
    assert [role for role, _ in second.remembered] == ["user", "assistant"]
    assert [text for _, text in second.remembered] == ["hello", "bye"]
    assert [len(run.of(ModelUsage)) for run in (first, second)] == [2, 2]


async def test_what_a_middleware_noted_of_one_user_is_not_in_the_thread_of_another() -> None:
    class Notes(MiddlewareBase):
        async def on_model_call(self, agent: Any, input_kwargs: dict[str, Any], next_handler: Any) -> Any:
            seen.append(dict(agent.state.middle_context["notes"]))
            agent.state.middle_context["notes"]["of"] = "alice"
            return await next_handler(**input_kwargs)

    seen: list[dict[str, Any]] = []
    state = AgentState(middle_context={"notes": {}})
    for _ in range(2):
        await Run(["hello"], factory=lambda run: agent(run, state=state, middlewares=[Notes()])).run()

    assert seen == [{}, {}]


def with_rules(run: AgentRun) -> Agent:
    run.state.permission_context.mode = PermissionMode.DONT_ASK
    return agent(run)


def changing(kept: list[Agent]) -> Create:
    def create(run: AgentRun) -> Agent:
        if not kept:
            kept.append(agent(run))
        kept[0].state = run.state
        return kept[0]

    return create


def test_the_tool_by_which_an_agent_compacts_itself_belongs_to_the_copy() -> None:
    made = Agent(
        "shop",
        "Sell.",
        foreign_model(ModelInMemory()),
        context_config=ContextConfig(compression_tool_enabled=True),
    )

    agents: list[Any] = [own_agent(made, new_mark())[0] for _ in range(2)]

    assert [each._compression_tool._func.__self__ for each in agents] == agents
    assert agents[0] is not agents[1]


REFUSED: dict[str, tuple[Callable[[], Create], str]] = {
    "rules in a kept state": (
        lambda: keeping(with_rules, lambda _run, kept: kept),
        "permission rules in the state of another run",
    ),
    "a kept agent is changed": (lambda: changing([]), "another run may be using"),
    "a middleware's model": (
        lambda: keeping(lambda run: Holds(run.model), lambda run, kept: agent(run, middlewares=[kept])),
        "Holds.model is a model of another run",
    ),
    "a middleware's metered model": (
        lambda: keeping(
            lambda run: Holds(run.meter(foreign_model(ModelInMemory(["hello"])))),
            lambda run, kept: agent(run, middlewares=[kept]),
        ),
        "Holds.model is a model of another run",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_replaced_is_refused_in_the_second_run_and_at_the_start(what: str) -> None:
    create, words = REFUSED[what]
    found = await examine(Run(factory=create()).kit)
    assert any(words in problem for problem in found.problems)

    factory = create()
    await Run(["hello"], factory=factory).run()
    second = Run(["bye"], factory=factory)
    with pytest.raises(AgentFailed, match="agentroute check"):
        await second.run()
    assert second.model.asked == []


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("agent", "The factory returned the same agent again"),
        ("toolkit", "the toolkit of another run"),
        ("model", "the model of another run"),
        ("state", "the state of another run"),
    ],
)
async def test_the_check_warns_of_what_a_factory_keeps(what: str, words: str) -> None:
    found = await examine(Run(factory=KEEPING[what]()).kit)

    assert found.problems == []
    assert any(words in warning for warning in found.warnings)


async def test_the_check_warns_of_nothing_if_a_factory_keeps_nothing() -> None:
    found = await examine(Run(factory=agent).kit)

    assert (found.problems, found.warnings) == ([], [])
