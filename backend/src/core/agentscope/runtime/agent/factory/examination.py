"""Makes an agent without a model call, and tells what it is: for ``agentroute check``, ``doctor`` and each start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentscope.agent import Agent
from agentscope.middleware import MiddlewareBase
from agentscope.model import ChatModelBase
from agentscope.permission import PermissionBehavior
from agentscope.state import AgentState
from agentscope.tool import FunctionTool, ToolBase
from agentscope.tool._adapters import MCPTool

from core.agentscope.events.ledger.budget_store import CallEstimate
from core.agentscope.runtime.agent.agent_factory import AgentFactory
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.factory.hosting import FACTORY_SECONDS, AgentHost
from core.agentscope.runtime.agent.factory.installed_agent import (
    AgentRefused,
    Change,
    is_booked,
    middlewares_of,
)
from core.agentscope.runtime.agent.factory.user_factory import UserFactory
from core.agentscope.runtime.agent.intent import UNKNOWN
from core.agentscope.runtime.agent.shared_state import RunState
from core.agentscope.runtime.agent.subagents import SubagentTool
from core.agentscope.runtime.agent.toolkit import ServerTool, ToolCallCount, ToolGate
from core.agentscope.runtime.model.ambient_meter import can_be_metered
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.foreign_calls import provider_of
from core.agentscope.runtime.model.metered_model import Metered
from core.agentscope.runtime.stop_signal import StopSignal, WorkTooSlow
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent, RunCommand
from core.agentscope.schemas.internal_events import ModelUsage
from core.agentscope.schemas.tool_name import MAX_CHARACTERS
from core.agentscope.tools.spec import ToolContext
from core.agentscope.tools.user_module import failure_line
from core.errors import BudgetExhausted
from core.identity import Principal

OF_PROFILE = "(of the profile)"
"""How the words about a model end if it is the profile's."""

_CHECKED_BY_ITSELF = "its own check"
_WHEN = {
    "tool": "the model calls it as a tool",
    "always": "for each new message of the user",
    "code": "run.retrieve calls it",
}


@dataclass(frozen=True, slots=True)
class ToolFound:
    """One tool of the agent."""

    name: str
    permission: str
    """``allow``, ``ask``, ``deny``, ``client``, or that the tool decides over each call by itself."""
    of: str
    """``profile``, ``agent`` or ``subagent``."""


@dataclass(slots=True)
class Examination:
    """What the agent is, and what is wrong with it."""

    name: str
    description: str
    factory: str | None
    runner: str | None = None
    kind: str = "agentscope.agent.Agent"
    tools: list[ToolFound] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    skills: list[str] = field(default_factory=list)
    middlewares: list[str] = field(default_factory=list)
    knowledge: str = ""
    """The search function and when it is called; empty without one."""
    changes: list[Change] = field(default_factory=list)
    """What was installed or corrected."""
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why no run can use the agent; empty if runs can."""


async def examine(kit: AgentKit) -> Examination:
    """Make the agent of a kit and describe it. Nothing is raised for what is wrong with the agent.

    A factory is called twice. A runner is not called: what it does is the run.
    """
    profile = kit.profile
    found = Examination(profile.name, profile.description, profile.agent.factory, profile.agent.runner)
    found.stages = {
        "intent": profile.stages.intent,
        "execution": "always",
        "report": profile.report_mode,
        "title": profile.stages.title,
    }
    if (knowledge := profile.knowledge) is not None:
        found.knowledge = f"{knowledge.retrieve} ({_WHEN[knowledge.when]})"
    kit = kit.for_run(budget=_NoCalls(), calls_ahead=None)
    stop = StopSignal()
    gate = ToolGate(stop, ToolCallCount(0))

    def builder(context: ToolContext) -> AgentFactory:
        return AgentFactory(
            kit, RunCommand(), context, RunState(None, _ignore), gate=gate, emit=_ignore, stop=stop
        )

    context = _context("check")
    if kit.user_runner is not None:
        found.kind = kit.user_runner.kind
        _describe_parts(kit, builder(context).tools(), found)
        return found
    try:
        if kit.maker is None:
            made = builder(context)
            agent = made.agent("execution", UNKNOWN, made.toolkit(), made.translator(), _state(context))
        else:
            # The second is of another user: it must have nothing of the first.
            agent = await _made(
                kit.maker,
                [
                    (AgentHost(kit, builder(each), RunCommand(), each, gate), _state(each))
                    for each in (context, _context("check-of-another-user"))
                ],
                stop,
                found,
            )
    except (AgentRefused, _CheckFailed) as exc:
        found.problems.append(str(exc))
        return found
    await _describe(agent, builder(context).tools(), found)
    return found


def _context(user: str) -> ToolContext:
    return ToolContext(Principal("check", user), thread_id=user, run_id=user, tool_call_id="")


def _state(context: ToolContext) -> AgentState:
    return AgentState(session_id=context.thread_id)


async def _made(
    factory: UserFactory, hosts: Sequence[tuple[AgentHost, AgentState]], stop: StopSignal, found: Examination
) -> Agent:
    """Return the agent of the first host."""
    try:
        hosted, second = [
            await stop.guard(
                host.make(factory, UNKNOWN, state, fresh=True, is_check=True), limit_seconds=FACTORY_SECONDS
            )
            for host, state in hosts
        ]
    except AgentRefused:
        raise
    except WorkTooSlow as exc:
        raise _CheckFailed(
            f"the factory did not return within {FACTORY_SECONDS:g} seconds; do slow work in @lifespan or in tools"
        ) from exc
    except Exception as exc:
        reason = failure_line("the factory failed", exc)
        raise _CheckFailed(f"{reason}; run.is_check tells it that the agent is only looked at") from exc
    if found.factory is not None:
        found.changes = [each for each in hosted.installed.changes if not each.forbidden]
    found.problems += [f"{each.what}. {each.advice}" for each in hosted.installed.changes if each.forbidden]
    found.warnings += [f"{each.what}. {each.advice}" for each in second.installed.changes if each.was_kept]
    return hosted.installed.agent


def _describe_parts(kit: AgentKit, ours: Iterable[ToolBase], found: Examination) -> None:
    """Describe what a runner is given."""
    name = kit.profile.model_of("execution", kit.settings.model.name).name
    found.models["run.model"] = f"{name} {OF_PROFILE}" if name else "none: AGENT_MODEL__NAME is not set"
    for tool in ours:
        asks = isinstance(tool, ServerTool) and tool.asks
        of = "subagent" if isinstance(tool, SubagentTool) else "profile"
        found.tools.append(ToolFound(tool.name, "ask" if asks else "allow", of))


async def _describe(agent: Any, ours: Iterable[ToolBase], found: Examination) -> None:
    kind = type(agent).__mro__[1] if "_agentroute_hosted" in vars(type(agent)) else type(agent)
    found.kind = f"{kind.__module__}.{kind.__qualname__}"
    found.models["agent"] = _model_words(agent.model)
    if (fallback := agent.model_config.fallback_model) is not None:
        found.models["fallback"] = _model_words(fallback)
    profile_names = {tool.name for tool in ours}
    for group in agent.toolkit.tool_groups:
        for tool in group.tools:
            found.tools.append(await _tool_found(agent, tool))
            if tool.name in profile_names and found.tools[-1].of == "agent":
                found.problems.append(
                    f"the tool {tool.name} is in the toolkit and in the profile; rename or remove one of them"
                )
            if len(tool.name) > MAX_CHARACTERS:
                found.warnings.append(f"providers refuse the name of the tool {tool.name}: too long")
        found.skills += [skill.name for skill in await group.list_skills()]
    for middleware in middlewares_of(agent):
        if type(middleware).__module__.startswith("core.agentscope."):
            continue
        name = type(middleware).__name__
        found.middlewares.append(name)
        found.warnings += [
            f"{name}.{attribute} is a model that is not metered; give it run.meter(model)"
            for attribute in _unmetered(middleware)
        ]


async def _tool_found(agent: Any, tool: ToolBase) -> ToolFound:
    of = "agent"
    if isinstance(tool, ServerTool):
        of = "profile"
    elif isinstance(tool, SubagentTool):
        of = "subagent"
    if tool.is_external_tool:
        return ToolFound(tool.name, "client", of)
    known = isinstance(tool, ServerTool | SubagentTool) or _is_decided_beforehand(tool)
    if isinstance(tool, ServerTool) and tool.decides and not tool.asks:
        known = False
    if not known:
        return ToolFound(tool.name, _CHECKED_BY_ITSELF, of)
    decision = await agent._engine.check_permission(tool, {})
    asks = decision.behavior in (PermissionBehavior.ASK, PermissionBehavior.PASSTHROUGH)
    return ToolFound(tool.name, "ask" if asks else str(decision.behavior.value), of)


def _is_decided_beforehand(tool: ToolBase) -> bool:
    check: Any = type(tool).check_permissions
    return check in (FunctionTool.check_permissions, MCPTool.check_permissions)


def _unmetered(middleware: MiddlewareBase) -> list[str]:
    """Return the attributes of a middleware that hold a model that nobody can meter when the middleware asks it."""
    if type(middleware).__module__.endswith("_model_router"):
        kept = {"classifier_model": getattr(middleware, "classifier_model", None)}
    else:
        kept = vars(middleware)
    return [
        name
        for name, value in kept.items()
        if isinstance(value, ChatModelBase) and not is_booked(value) and not can_be_metered(value)
    ]


def _model_words(model: ChatModelBase) -> str:
    if isinstance(model, OpenAICompatibleChatModel):
        return f"{model.model} {OF_PROFILE}"
    kind = type(model).__mro__[1] if isinstance(model, Metered) else type(model)
    return f"{model.model} ({kind.__name__}, {provider_of(model)}, metered)"


class _CheckFailed(Exception):
    """The factory made no agent."""


class _NoCalls:
    """A budget from which nothing can be paid: an agent that is only looked at asks no model."""

    active = True

    def longest_output(self, max_tokens: int | None) -> int:
        return max_tokens or 0

    async def reserve(self, call_id: str, estimate: CallEstimate) -> None:
        raise BudgetExhausted("No model is asked while the agent is only looked at: see run.is_check.")

    def settle(self, usage: ModelUsage) -> None: ...

    async def release(self, call_id: str) -> None: ...


async def _ignore(_event: InternalRuntimeEvent) -> None: ...
