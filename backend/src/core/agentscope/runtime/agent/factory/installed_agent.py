"""Installs in a user's agent what the guarantees of a run need, or says why that cannot be done.

What is installed, whatever the factory returned:

1. The thread's conversation as the agent's state, and the name under which AgentScope finds its open calls.
2. The gate, before all middlewares of the user: no tool acts before its ``TOOL_CALL_END`` is durable.
3. A meter around every model that the agent calls: its own, the fallback, one that a middleware chooses.
4. The tools of the profile and the client; a guard around the user's tools (``guarded_tools``).
5. Cancellation, the step limit and the compaction of the profile, where the user has set none.

An agent that a factory returns again is copied: an agent belongs to one run. Each change has a line in ``changes``, for
``agentroute check``. What cannot be installed raises ``AgentRefused``. See docs/adr/0032.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from agentscope.agent import Agent, ContextConfig
from agentscope.middleware import MiddlewareBase
from agentscope.model import ChatModelBase
from agentscope.permission import PermissionEngine, PermissionMode
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from core.agentscope.runtime.agent.factory.merged_toolkit import is_merged
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.metered_model import ForeignMeter, Metered, meter_of, metered

_PRISTINE = "_agentroute_pristine"
_METER = "_agentroute_meter"
_HOOKS = {
    "on_reply": "_reply_middlewares",
    "on_reasoning": "_reasoning_middlewares",
    "on_check_permission": "_check_permission_middlewares",
    "on_acting": "_acting_middlewares",
    "on_model_call": "_model_call_middlewares",
    "on_system_prompt": "_system_prompt_middlewares",
    "on_compress_context": "_compress_context_middlewares",
}
_CARRIES_THE_GATE = (
    "_acting",
    "_batch_tool_calls",
    "_check_permission",
    "_execute_concurrent_tool_calls",
    "_execute_sequential_tool_calls",
    "_execute_tool_call",
)


class AgentRefused(ValueError):
    """What a factory returned cannot keep the guarantees. The message says what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was installed or corrected."""

    what: str
    advice: str = ""
    """How to make it unnecessary; empty for what every agent is given."""


@dataclass(slots=True)
class Installed:
    """A user's agent, ready for one run."""

    agent: Agent
    changes: list[Change] = field(default_factory=list)
    _reasoning: list[MiddlewareBase] = field(default_factory=list)

    def use(self, *, first: Sequence[MiddlewareBase] = (), last: Sequence[MiddlewareBase] = ()) -> None:
        """Put middlewares around the model calls of the next reply: before the user's, and behind them."""
        agent: Any = self.agent
        self._reasoning = self._reasoning or list(agent._reasoning_middlewares)
        agent._reasoning_middlewares = [*first, *self._reasoning, *last]


class ModelOfTheRun(MiddlewareBase):
    """Meters the model that a middleware of the user has chosen for a call. Stands behind all of them."""

    def __init__(self, meter: Callable[[ChatModelBase], ChatModelBase]) -> None:
        self._meter = meter

    async def on_model_call(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., Any]
    ) -> Any:
        return await next_handler(
            **input_kwargs | {"current_model": self._meter(input_kwargs["current_model"])}
        )


def with_meter(model: ChatModelBase, meter: ForeignMeter) -> ChatModelBase:
    """Return a model that books its calls with the meter; one of ours books them already."""
    if isinstance(model, OpenAICompatibleChatModel) or (
        isinstance(model, Metered) and meter_of(model) is meter
    ):
        return model
    return metered(model, meter)


def own_agent(made: Any) -> tuple[Agent, list[Change]]:
    """Return the agent that this run may change: what the factory returned, or a copy if it was returned before.

    Raises:
        AgentRefused: It is no agent of AgentScope, or overrides what the gate stands on.
    """
    if not isinstance(made, Agent):
        raise AgentRefused(
            f"the factory returned {type(made).__name__}; return an agentscope.agent.Agent or a subclass of it"
        )
    kind = type(made)
    for name in _CARRIES_THE_GATE:
        if getattr(kind, name) is not getattr(Agent, name):
            raise AgentRefused(
                f"{kind.__name__} overrides {name}, so tools could act before they are recorded; use a middleware instead"
            )
    pristine = vars(made).get(_PRISTINE)
    if pristine is None:
        vars(made)[_PRISTINE] = {
            name: list(value) if isinstance(value, list) else value for name, value in vars(made).items()
        }
        return made, []
    same = copy.copy(made)
    vars(same).update(
        {name: list(value) if isinstance(value, list) else value for name, value in pristine.items()}
    )
    if same.context_config.compression_tool_enabled:
        # The tool is bound to the agent that it compacts.
        tool: Any = copy.copy(same._compression_tool)
        tool._func = same._compress_context_tool
        same._compression_tool = tool
    return same, [
        Change("The factory returned the same agent again: it was copied", "Make an agent in each call.")
    ]


def check_model(model: Any, where: str) -> None:
    """Refuse what the agent cannot call.

    Raises:
        AgentRefused: It is no chat model of AgentScope.
    """
    if not isinstance(model, ChatModelBase):
        raise AgentRefused(
            f"{where} is {type(model).__name__}; it must be a ChatModelBase: run.model, or a model of AgentScope"
        )


def install_state(agent: Agent, state: AgentState, *, fresh: bool) -> list[Change]:
    """Give the agent the thread's state. In a new thread it begins with what the agent's own state holds.

    Raises:
        AgentRefused: The agent's state is of a class of its own, which no checkpoint can hold.
    """
    changes: list[Change] = []
    own = agent.state
    if own is not state:
        if type(own) is not AgentState:
            raise AgentRefused(
                f"the agent's state is a {type(own).__name__}; use AgentState, and state.middle_context for more"
            )
        _take_over(own, state, fresh=fresh)
        agent.state = state
        # The engine holds the permissions of the state that it was made with.
        agent._engine = PermissionEngine(state.permission_context)
        changes.append(Change("The thread's conversation is the agent's state", "Pass state=run.state."))
    if state.permission_context.mode == PermissionMode.BYPASS:
        state.permission_context.mode = PermissionMode.DEFAULT
        changes.append(Change(f"{BYPASS_MODE}: it was set to default", BYPASS_ADVICE))
    if agent.name != AGENT_NAME:
        agent.name = AGENT_NAME
        changes.append(Change(f"The agent is called {AGENT_NAME} inside; checkpoints find its calls by it"))
    return changes


BYPASS_MODE = "The permission mode bypass lets every tool act without asking"
BYPASS_ADVICE = (
    "Leave the mode out. A tool that needs no approval says so itself: "
    "FunctionTool(..., permission=PermissionDecision(PermissionBehavior.ALLOW, ...))."
)


def _take_over(own: AgentState, state: AgentState, *, fresh: bool) -> None:
    # Rules are code of today; those of a checkpoint may be of last year.
    state.permission_context = own.permission_context.model_copy(deep=True)
    state.middle_context = own.middle_context | state.middle_context
    if fresh:
        state.context[:0] = [message.model_copy(deep=True) for message in own.context]
        state.summary = own.summary or state.summary
        state.tool_context = own.tool_context.model_copy(deep=True)
        state.tasks_context = own.tasks_context.model_copy(deep=True)


def install_settings(
    agent: Agent, *, max_iterations: int, limited: bool, context: ContextConfig
) -> list[Change]:
    """Set what the agent left open, and what it cannot choose.

    Args:
        max_iterations: Of the profile.
        limited: The profile says so itself; then the agent may not have more.
        context: Of the profile; for an agent without one of its own.
    """
    changes: list[Change] = []
    react = agent.react_config
    steps = react.max_iters if "max_iters" in react.model_fields_set else max_iterations
    if limited:
        steps = min(steps, max_iterations)
    if not react.interruption_raise_cancelled_error:
        changes.append(Change("A cancelled run ends as cancelled (interruption_raise_cancelled_error)"))
    agent.react_config = react.model_copy(
        update={"max_iters": steps, "interruption_raise_cancelled_error": True}
    )
    injected = agent.injection_config
    if injected.inject_runtime_state and "inject_runtime_state" not in injected.model_fields_set:
        agent.injection_config = injected.model_copy(update={"inject_runtime_state": False})
        changes.append(
            Change(
                "The time of day is not written into the conversation (inject_runtime_state)",
                "Pass injection_config=InjectionConfig(inject_runtime_state=True) if you want it.",
            )
        )
    if not agent.context_config.model_fields_set:
        agent.context_config = context
        changes.append(Change("Long conversations are summarised as the profile says ([context])"))
    return changes


def install_models(agent: Agent, meter: ForeignMeter) -> list[Change]:
    """Put the meter around the models of the agent.

    Raises:
        AgentRefused: The model is not one of AgentScope's.
    """
    check_model(agent.model, "agent.model")
    changes: list[Change] = []
    if not isinstance(agent.model, OpenAICompatibleChatModel):
        changes.append(Change(f"The calls of {type(agent.model).__name__} are metered"))
    fallback = agent.model_config.fallback_model
    if fallback is not None:
        check_model(fallback, "model_config.fallback_model")
        agent.model_config = agent.model_config.model_copy(
            update={"fallback_model": with_meter(fallback, meter)}
        )
    vars(agent)[_METER] = meter
    agent.__class__ = _hosted_kind(type(agent))
    return changes


@cache
def _hosted_kind(kind: type[Agent]) -> type[Agent]:
    """Return the class of an agent whose model is always metered, whoever sets it: routers of AgentScope do."""

    def model(self: Any) -> ChatModelBase:
        own = vars(self)
        return with_meter(own["model"], own[_METER])

    def set_model(self: Any, value: ChatModelBase) -> None:
        vars(self)["model"] = value

    if "_agentroute_hosted" in vars(kind):
        return kind
    members: dict[str, Any] = {
        "__module__": kind.__module__,
        "model": property(model, set_model),
        "_agentroute_hosted": True,
    }
    make: Any = type(kind)
    return make(kind.__name__, (kind,), members)


def install_toolkit(agent: Agent, merge: Callable[[Toolkit | None], Toolkit]) -> list[Change]:
    """Give the agent a toolkit of this run."""
    if is_merged(agent.toolkit):
        return []
    agent.toolkit = merge(agent.toolkit)
    return [
        Change(
            "The tools of the profile and the client were added", "Pass toolkit=run.toolkit(Toolkit(...))."
        )
    ]


def install_middlewares(
    agent: Any, *, first: Sequence[MiddlewareBase], last: Sequence[MiddlewareBase]
) -> list[Change]:
    """Put our middlewares around those of the user, wherever the factory put them."""
    ours = [*first, *last]
    kinds = tuple(type(each) for each in ours)
    given = any(isinstance(each, kinds) for each in agent._acting_middlewares)
    for hook, name in _HOOKS.items():
        theirs = [each for each in getattr(agent, name) if not isinstance(each, kinds)]
        before = [each for each in first if each.is_implemented(hook)]
        behind = [each for each in last if each.is_implemented(hook)]
        setattr(agent, name, [*before, *theirs, *behind])
    if given:
        return []
    return [Change("The gate stands before every tool", "Pass middlewares=[*run.middlewares].")]


def middlewares_of(agent: Any) -> list[MiddlewareBase]:
    """Return all middlewares of an agent, each once."""
    found = {id(each): each for name in _HOOKS.values() for each in getattr(agent, name)}
    return list(found.values())
