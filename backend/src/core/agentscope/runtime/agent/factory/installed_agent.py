"""Installs in a user's agent what the guarantees of a run need, or says why that cannot be done.

What is installed, whatever the factory returned:

1. The thread's conversation as the agent's state, and the name under which AgentScope finds its open calls.
2. The gate, before all middlewares of the user: no tool acts before its ``TOOL_CALL_END`` is durable.
3. A meter around every model that the agent calls: its own, the fallback, one that a middleware chooses.
4. The tools of the profile and the client; a guard around the user's tools (``guarded_tools``).
5. Cancellation, the step limit and the compaction of the profile, where the user has set none.

An agent that a factory returns again is copied: an agent belongs to one run. Parts of another run that it holds are
replaced by those of this run. Each change has a line in ``changes``, for ``agentroute check``. What cannot be installed
raises ``AgentRefused``. See docs/adr/0032.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from agentscope.agent import Agent, ContextConfig
from agentscope.middleware import MiddlewareBase
from agentscope.model import ChatModelBase
from agentscope.permission import PermissionContext, PermissionEngine, PermissionMode
from agentscope.state import AgentState
from agentscope.tool import ToolBase, Toolkit

from core.agentscope.runtime.agent.factory.merged_toolkit import copied_toolkit
from core.agentscope.runtime.agent.factory.run_marks import is_of, is_of_another, marked
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.metered_model import ForeignMeter, Metered, meter_of, metered

_PRISTINE = "_agentroute_pristine"
_OWN_MODEL = "_agentroute_own_model"
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
    was_kept: bool = False
    """The factory kept something of another run."""
    forbidden: bool = False
    """Runs correct it, and the check refuses it."""


@dataclass(slots=True)
class Installed:
    """A user's agent, ready for one run."""

    agent: Agent
    changes: list[Change]
    _reasoning: tuple[MiddlewareBase, ...]
    """The middlewares around the agent's model calls, as they were when everything was installed."""

    def use(self, *, first: Sequence[MiddlewareBase] = (), last: Sequence[MiddlewareBase] = ()) -> None:
        """Put middlewares around the model calls of the next reply: before the user's, and behind them."""
        agent: Any = self.agent
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


def own_agent(made: Any, run: str) -> tuple[Agent, list[Change]]:
    """Return the agent that this run may change: what the factory returned, or a copy if it was returned before.

    Args:
        made: What the factory returned.
        run: The mark of the run.

    Raises:
        AgentRefused: It is no agent of AgentScope, overrides what the gate stands on, or is an agent of another run that
            the factory has changed.
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
        pristine = _with_lists_copied(vars(made))
        if is_of(made.state, run):
            # The conversation of a user. Of it, the copies need to know nothing but the rules.
            rules = made.state.permission_context.model_copy(deep=True)
            pristine["state"] = marked(AgentState(permission_context=rules), run)
        vars(made)[_PRISTINE] = pristine
        return made, []
    if any(is_of(value, run) for value in vars(made).values()):
        raise AgentRefused(
            "the factory puts parts of a run into an agent that another run may be using; make an agent in each call"
        )
    same = copy.copy(made)
    # Nothing else: what the first run did to the agent is the business of its user.
    vars(same).clear()
    vars(same).update(_with_lists_copied(pristine) | {_PRISTINE: pristine})
    if same.context_config.compression_tool_enabled:
        # The tool is bound to the agent that it compacts.
        tool: Any = copy.copy(same._compression_tool)
        tool._func = same._compress_context_tool
        same._compression_tool = tool
    return same, [
        Change(
            "The factory returned the same agent again: it was copied",
            "Make an agent in each call.",
            was_kept=True,
        )
    ]


def _with_lists_copied(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, list) else value for name, value in attributes.items()}


def is_booked(model: ChatModelBase) -> bool:
    """Whether the calls of a model are in the ledger of some run."""
    return isinstance(model, OpenAICompatibleChatModel | Metered)


def check_model(model: Any, where: str) -> None:
    """Refuse what the agent cannot call.

    Raises:
        AgentRefused: It is no chat model of AgentScope.
    """
    if not isinstance(model, ChatModelBase):
        raise AgentRefused(
            f"{where} is {type(model).__name__}; it must be a ChatModelBase: run.model, or a model of AgentScope"
        )


def install_state(agent: Agent, state: AgentState, run: str, *, fresh: bool) -> list[Change]:
    """Give the agent the thread's state. In a new thread it begins with what the agent's own state holds.

    Nothing is taken from the state of another run: it is the conversation of another user.

    Raises:
        AgentRefused: The agent's state is of a class of its own, which no checkpoint can hold, or permission rules are in
            the state of another run.
    """
    changes: list[Change] = []
    own = agent.state
    if own is not state:
        if type(own) is not AgentState:
            raise AgentRefused(
                f"the agent's state is a {type(own).__name__}; use AgentState, and state.middle_context for more"
            )
        changes.append(_taken_over(own, state, run, fresh=fresh))
        agent.state = state
        # The engine holds the permissions of the state that it was made with.
        agent._engine = PermissionEngine(state.permission_context)
    if state.permission_context.mode == PermissionMode.BYPASS:
        state.permission_context.mode = PermissionMode.DEFAULT
        changes.append(
            Change(
                "The permission mode bypass lets every tool act without asking",
                _BYPASS_ADVICE,
                forbidden=True,
            )
        )
    if agent.name != AGENT_NAME:
        agent.name = AGENT_NAME
        changes.append(Change(f"The agent is called {AGENT_NAME} inside; checkpoints find its calls by it"))
    return changes


def with_state_copied(agent: Agent) -> AgentState:
    """Give the agent a copy of its own state, and return it. The author may give the agent to other runs, too."""
    agent.state = agent.state.model_copy(deep=True)
    agent._engine = PermissionEngine(agent.state.permission_context)
    return agent.state


_BYPASS_ADVICE = (
    "Leave the mode out. A tool that needs no approval says so itself: "
    "FunctionTool(..., permission=PermissionDecision(PermissionBehavior.ALLOW, ...))."
)


def _taken_over(own: AgentState, state: AgentState, run: str, *, fresh: bool) -> Change:
    if is_of_another(own, run):
        if own.permission_context != PermissionContext():
            # To copy them may give a user the rights of another, to leave them out may allow what was denied.
            raise AgentRefused(
                "the agent holds permission rules in the state of another run; make the agent and its rules in each call"
            )
        return Change(
            "The agent held the state of another run: it was given this run's",
            "Use run.state in each call, and do not keep it.",
            was_kept=True,
        )
    state.permission_context = own.permission_context.model_copy(deep=True)
    state.middle_context = copy.deepcopy(own.middle_context) | state.middle_context
    if fresh and not is_of(own, run):
        state.context[:0] = [message.model_copy(deep=True) for message in own.context]
        state.summary = own.summary or state.summary
        state.tool_context = own.tool_context.model_copy(deep=True)
        state.tasks_context = own.tasks_context.model_copy(deep=True)
    return Change("The thread's conversation is the agent's state", "Pass state=run.state.")


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


def install_models(
    agent: Agent, own_model: Callable[[ChatModelBase], ChatModelBase], run: str
) -> list[Change]:
    """Let all models of the agent book their calls with this run.

    Args:
        agent: The agent.
        own_model: Returns a model as this run uses it.
        run: The mark of the run.

    Raises:
        AgentRefused: A model is not one of AgentScope's, or a middleware holds a model of another run.
    """
    model = vars(agent)["model"]
    check_model(model, "agent.model")
    changes: list[Change] = []
    if not isinstance(model, OpenAICompatibleChatModel):
        changes.append(Change(f"The calls of {type(own_model(model)).__name__} are metered"))
    fallback = agent.model_config.fallback_model
    if is_of_another(model, run) or is_of_another(fallback, run):
        changes.append(
            Change(
                "The agent held the model of another run: it was given this run's",
                "Use run.model in each call, and do not keep it.",
                was_kept=True,
            )
        )
    if fallback is not None:
        check_model(fallback, "model_config.fallback_model")
        agent.model_config = agent.model_config.model_copy(update={"fallback_model": own_model(fallback)})
    for middleware in middlewares_of(agent):
        for name, value in getattr(middleware, "__dict__", {}).items():
            if isinstance(value, ChatModelBase) and own_model(value) is not value and is_booked(value):
                raise AgentRefused(
                    f"{type(middleware).__name__}.{name} is a model of another run; make the middleware in each call"
                )
    vars(agent)[_OWN_MODEL] = own_model
    agent.__class__ = _hosted_kind(type(agent))
    return changes


@cache
def _hosted_kind(kind: type[Agent]) -> type[Agent]:
    """Return the class of an agent whose model is always metered, whoever sets it: routers of AgentScope do."""

    def model(self: Any) -> ChatModelBase:
        own = vars(self)
        return own[_OWN_MODEL](own["model"])

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


def install_toolkit(agent: Agent, merge: Callable[[Toolkit | None], Toolkit], run: str) -> list[Change]:
    """Give the agent a toolkit of this run."""
    theirs = agent.toolkit
    if is_of(theirs, run):
        # A run changes its toolkit, and the factory may keep this one.
        agent.toolkit = copied_toolkit(theirs)
        return []
    agent.toolkit = merge(theirs)
    if is_of_another(theirs, run):
        return [
            Change(
                "The agent held the toolkit of another run: it was given this run's tools",
                "Use run.toolkit(...) in each call, and do not keep what it returns.",
                was_kept=True,
            )
        ]
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


def add_middlewares(agent: Any, middlewares: Sequence[MiddlewareBase]) -> None:
    """Put the middlewares of the profile before those that the agent has."""
    for hook, name in _HOOKS.items():
        theirs = [each for each in middlewares if each.is_implemented(hook)]
        setattr(agent, name, [*theirs, *getattr(agent, name)])


def add_tools(toolkit: Toolkit, tools: Sequence[ToolBase]) -> None:
    """Offer the tools of a middleware of the profile, such as the search of a RAG middleware.

    Raises:
        AgentRefused: A name is taken. A tool of the client gives way.
    """
    basic = next(group for group in toolkit.tool_groups if group.name == "basic")
    for tool in tools:
        for group in toolkit.tool_groups:
            same = [each for each in group.tools if each.name == tool.name]
            if any(not each.is_external_tool for each in same):
                raise AgentRefused(
                    f"the tool {tool.name} of a middleware has the name of another tool; rename or remove one of them"
                )
            group.tools = [each for each in group.tools if each.name != tool.name]
        basic.tools.append(tool)


def middlewares_of(agent: Any) -> list[MiddlewareBase]:
    """Return all middlewares of an agent, each once."""
    found = {id(each): each for name in _HOOKS.values() for each in getattr(agent, name)}
    return list(found.values())
