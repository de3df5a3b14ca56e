"""The user's agents of one run: what a factory or a runner is given, and what an agent is given that comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import httpx
import structlog
from agentscope.middleware import MiddlewareBase
from agentscope.model import ChatModelBase
from agentscope.state import AgentState
from agentscope.tool import ToolBase, Toolkit

from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.agent_factory import AgentFactory
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.compaction import CompactionMiddleware, context_config
from core.agentscope.runtime.agent.factory.agent_run import AgentRun, RunInputs, RunParts
from core.agentscope.runtime.agent.factory.explanation import explained
from core.agentscope.runtime.agent.factory.foreign_compaction import ForeignCompaction
from core.agentscope.runtime.agent.factory.guarded_tools import ToolGuard, guarded
from core.agentscope.runtime.agent.factory.installed_agent import (
    AgentRefused,
    Installed,
    ModelOfTheRun,
    add_middlewares,
    add_tools,
    install_middlewares,
    install_models,
    install_settings,
    install_state,
    install_toolkit,
    own_agent,
    with_meter,
    with_state_copied,
)
from core.agentscope.runtime.agent.factory.merged_toolkit import merged_toolkit, settle_tools
from core.agentscope.runtime.agent.factory.run_marks import is_of_another, marked, new_mark
from core.agentscope.runtime.agent.factory.user_factory import UserFactory
from core.agentscope.runtime.agent.factory.user_middleware import MiddlewareInvalid, UserMiddleware
from core.agentscope.runtime.agent.intent import Intent
from core.agentscope.runtime.agent.knowledge.run_knowledge import NoKnowledge, RunKnowledge
from core.agentscope.runtime.agent.toolkit import GateMiddleware, ToolGate
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.chat_opaque import OpaqueValue
from core.agentscope.runtime.model.metered_model import ForeignMeter
from core.agentscope.runtime.stop_signal import StopSignal, WorkTooSlow
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent, RunCommand
from core.agentscope.schemas.internal_events import ModelUsage
from core.agentscope.schemas.passages import Passage
from core.agentscope.tools.spec import ToolContext
from core.agentscope.tools.user_module import failure_line
from core.errors import AgentBackendError, AgentFailed, LeaseLost

log = structlog.get_logger(__name__)

_NOT_MADE = "The agent could not be made. The operator finds the reason in the log of the worker."
_REFUSED = "The agent cannot be used. The operator finds the reason with: agentroute check"
_NOT_IN_TIME = "The agent was not made in time. The operator should look at what its factory waits for."
FACTORY_SECONDS = 60.0
"""For making the agent of a run. Slow work belongs in ``@lifespan`` or in tools."""
_MAX_REASON = 300
_SURELY_OURS = (AgentBackendError, LeaseLost)


class Recorder(Protocol):
    """Takes what model calls say beside their events."""

    def record(self, usage: ModelUsage) -> None: ...

    def keep(self, value: OpaqueValue) -> None: ...

    def announce(self, event: InternalRuntimeEvent) -> None: ...


def failure_of(error: Exception, meter: ForeignMeter, code: str) -> Exception:
    """Return what a run fails with after an exception of the user's code; an error of ours as it is.

    Args:
        error: What came out of the code.
        meter: Of the models of the user.
        code: Reference of the code, for the log.
    """
    if isinstance(error, _SURELY_OURS):
        return error
    failure = explained(error, of_model=meter.failed_with)
    if isinstance(failure, AgentFailed):
        log.error("agent_failed", code=code, exc_info=error)
    else:
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        log.warning("agent_model_failed", code=failure.code, reason=reason)
    return failure


@dataclass(frozen=True, slots=True)
class HostedAgent:
    """The user's agent with its translator."""

    installed: Installed
    translator: AgentEventTranslator
    meter: ForeignMeter
    reference: str

    def explained(self, error: Exception) -> Exception:
        """Return what the run fails with; an error of ours as it is."""
        return failure_of(error, self.meter, self.reference)


class Shared(Protocol):
    """What the runs of a module share."""

    @property
    def http(self) -> httpx.AsyncClient: ...

    @property
    def resources(self) -> Any: ...


class AgentHost:
    """Makes the user's agent of one run.

    Args:
        kit: The kit of the run.
        builder: Builds what the stages of the run work with.
        command: The request.
        context: On whose behalf the run is.
        gate: What the agent's tools wait at.
        claims: Of the caller's token.
        shared: The state that the application shares.
    """

    def __init__(
        self,
        kit: AgentKit,
        builder: AgentFactory,
        command: RunCommand,
        context: ToolContext,
        gate: ToolGate,
        *,
        claims: dict[str, Any] | None = None,
        shared: Any = None,
    ) -> None:
        self._kit = kit
        self._builder = builder
        self._command = command
        self._context = context
        self._gate = GateMiddleware(gate)
        self._claims = claims
        self._shared = shared
        self._mark = new_mark()
        """Of this run's parts: the factory may give back those of another."""

    async def make_in_time(
        self, stop: StopSignal, factory: UserFactory, intent: Intent, state: AgentState, *, fresh: bool
    ) -> HostedAgent:
        """Make the agent as ``make`` does, within ``FACTORY_SECONDS`` and until the run is stopped.

        Raises:
            RunStopped: The run was told to stop.
            AgentFailed: As of ``make``, or the time is over.
        """
        try:
            return await stop.guard(
                self.make(factory, intent, state, fresh=fresh), limit_seconds=FACTORY_SECONDS
            )
        except WorkTooSlow as exc:
            log.error("agent_factory_too_slow", factory=factory.reference, run_id=self._context.run_id)
            raise AgentFailed(_NOT_IN_TIME) from exc

    async def make(
        self, factory: UserFactory, intent: Intent, state: AgentState, *, fresh: bool, is_check: bool = False
    ) -> HostedAgent:
        """Call the factory, and install what is missing in the agent that comes back.

        Args:
            factory: The user's.
            intent: What the intent stage found.
            state: The thread's conversation; the agent changes it in place.
            fresh: The thread has no conversation yet.
            is_check: The agent is only looked at.

        Raises:
            AgentFailed: The factory failed, or its agent cannot be used. The log has the reason.
        """
        translator = self._builder.translator()
        meter = ForeignMeter(self._kit.services, translator.record)
        run = self.run_of(factory, translator, meter, intent, state, is_check=is_check)
        if self._builder.knowledge is not None:
            self._builder.knowledge.bind(run)
        try:
            made = await factory(run)
        except _SURELY_OURS:
            raise
        except Exception as exc:
            if is_check:
                raise
            log.exception("agent_factory_failed", factory=factory.reference, run_id=self._context.run_id)
            raise AgentFailed(_NOT_MADE) from exc
        try:
            theirs = await self.middlewares(
                lambda each: self.run_of(each, translator, meter, intent, state, is_check=is_check)
            )
            installed = await self.installed(made, theirs, run, translator, meter, state, fresh=fresh)
        except AgentRefused as exc:
            if is_check:
                raise
            log.exception("agent_refused", factory=factory.reference, run_id=self._context.run_id)
            raise AgentFailed(_REFUSED) from exc
        return HostedAgent(installed, translator, meter, factory.reference)

    def search_for(
        self,
        knowledge: RunKnowledge,
        translator: AgentEventTranslator,
        meter: ForeignMeter,
        intent: Intent,
        state: AgentState,
    ) -> None:
        """Let the search function of the profile know the run of an agent that no factory made.

        Args:
            knowledge: Of the run.
            translator: Takes the usage of model calls that the function makes.
            meter: Of the user's own models.
            intent: What the intent stage found.
            state: The thread's conversation.
        """
        knowledge.bind(self.run_of(knowledge.shared, translator, meter, intent, state))

    def run_of(
        self,
        code: Shared,
        recorder: Recorder,
        meter: ForeignMeter,
        intent: Intent,
        state: AgentState,
        *,
        is_check: bool = False,
        given: RunInputs | None = None,
        for_runner: Callable[[RunParts], RunParts] = lambda parts: parts,
        middlewares: Sequence[MiddlewareBase] = (),
    ) -> AgentRun:
        """Return the run as the user's code sees it.

        Args:
            code: The user's.
            recorder: Takes what model calls say.
            meter: Of the user's own models.
            intent: What the intent stage found.
            state: The thread's conversation.
            is_check: The agent is only looked at.
            given: What the run has to answer.
            for_runner: Adds what only runners have.
            middlewares: Placed before the gate.
        """
        marked(state, self._mark)

        def model() -> ChatModelBase:
            return marked(self._kit.model("execution", recorder.record, recorder.keep), self._mark)

        def toolkit(theirs: Toolkit | None) -> Toolkit:
            ours, unlisted = self._builder.tools(), self._builder.unlisted_tools()
            merged = merged_toolkit(theirs, ours, self._mark, unlisted)
            if merged is not theirs:
                self._builder.add_skills(merged)
            return merged

        principal = self._context.principal
        run = AgentRun(
            user=principal.user_id,
            tenant=principal.tenant_id,
            thread_id=self._context.thread_id,
            run_id=self._context.run_id,
            state=state,
            parts=for_runner(
                RunParts(
                    model=model,
                    meter=lambda theirs: self._own_model(theirs, run, meter),
                    toolkit=toolkit,
                    system_prompt=lambda: self._builder.prompt("execution", intent),
                    retrieve=self._retrieve,
                )
            ),
            http=code.http,
            claims=self._claims,
            state_shared=self._shared,
            context=self._command.context,
            forwarded_props=self._command.forwarded_props,
            resources=code.resources,
            middlewares=[*middlewares, self._gate],
            intent=intent,
            is_check=is_check,
            given=given,
        )
        return run

    async def middlewares(self, run_of: Callable[[UserMiddleware], AgentRun]) -> list[MiddlewareBase]:
        """Return the middlewares of the profile, made for this run.

        Raises:
            AgentRefused: One of them cannot be made.
        """
        made: list[MiddlewareBase] = []
        for each in self._kit.middlewares:
            try:
                made.append(await each.of(run_of(each)))
            except _SURELY_OURS:
                raise
            except MiddlewareInvalid as exc:
                raise AgentRefused(str(exc)) from exc
            except Exception as exc:
                raise AgentRefused(failure_line(each.where, exc)) from exc
        return made

    def _own_model(self, model: ChatModelBase, run: AgentRun, meter: ForeignMeter) -> ChatModelBase:
        """Return a model that books its calls with this run."""
        if isinstance(model, OpenAICompatibleChatModel) and is_of_another(model, self._mark):
            return run.model
        return with_meter(model, meter)

    async def _retrieve(self, query: str) -> list[Passage]:
        if self._builder.knowledge is None:
            raise NoKnowledge
        return await self._builder.knowledge.retrieve(query)

    async def installed(
        self,
        made: Any,
        middlewares: Sequence[MiddlewareBase],
        run: AgentRun,
        recorder: Recorder,
        meter: ForeignMeter,
        state: AgentState | None,
        *,
        fresh: bool,
        adds_tools: bool = True,
        before_gate: Sequence[MiddlewareBase] = (),
    ) -> Installed:
        """Return the agent with what it lacked installed.

        Args:
            made: What the user's code made.
            middlewares: Of the profile.
            run: Of this run.
            recorder: Takes what model calls say.
            meter: Of the user's own models.
            state: What the agent is to have; ``None`` for its own.
            fresh: The state is new.
            adds_tools: Add the tools of the profile and the client to a toolkit that has none of them.
            before_gate: More middlewares of ours.

        Raises:
            AgentRefused: The agent cannot keep the guarantees.
        """
        profile = self._kit.profile
        agent, changes = own_agent(made, self._mark)
        add_middlewares(agent, middlewares)
        changes += install_models(agent, run.meter, self._mark)
        if state is None:
            state = with_state_copied(agent)
        changes += install_state(agent, state, self._mark, fresh=fresh)
        changes += install_settings(
            agent,
            max_iterations=profile.limits.max_iterations,
            limited="max_iterations" in profile.limits.model_fields_set,
            context=context_config(profile.context),
        )
        # A runner says itself which of its agents has the tools of the profile.
        merge = run.toolkit if adds_tools else partial(merged_toolkit, ours=(), run=self._mark)
        changes += install_toolkit(agent, merge, self._mark)
        for middleware in middlewares:
            add_tools(agent.toolkit, await _tools_of(middleware))
        ours = {id(tool) for group in agent.toolkit.tool_groups for tool in group.tools if _is_ours(tool)}
        guard = ToolGuard(self._kit.settings.tools.max_result_bytes, self._builder.emit)
        await settle_tools(agent.toolkit, lambda tool: tool if id(tool) in ours else guarded(tool, guard))
        compaction = (
            CompactionMiddleware(self._kit.compaction_model("execution", recorder.record), recorder.announce)
            if isinstance(agent.model, OpenAICompatibleChatModel)
            else ForeignCompaction(meter, recorder.announce)
        )
        changes += install_middlewares(
            agent,
            first=[*before_gate, self._gate, compaction, *self._builder.passages()],
            last=[ModelOfTheRun(run.meter)],
        )
        return Installed(agent, changes, tuple(vars(agent)["_reasoning_middlewares"]))


async def _tools_of(middleware: MiddlewareBase) -> list[ToolBase]:
    try:
        return await middleware.list_tools()
    except _SURELY_OURS:
        raise
    except Exception as exc:
        raise AgentRefused(failure_line(f"{type(middleware).__name__}.list_tools", exc)) from exc


def _is_ours(tool: ToolBase) -> bool:
    return type(tool).__module__.startswith("core.agentscope.")
