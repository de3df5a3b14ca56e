"""Builds what the stages of one run work with: agents, toolkits, translators and prompts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agentscope.agent import Agent, InjectionConfig, ReActConfig
from agentscope.middleware import MiddlewareBase
from agentscope.state import AgentState
from agentscope.tool import ToolBase, Toolkit

from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.compaction import CompactionMiddleware, context_config
from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.intent import UNKNOWN, Intent
from core.agentscope.runtime.agent.knowledge.passages_middleware import PassagesMiddleware
from core.agentscope.runtime.agent.knowledge.run_knowledge import RunKnowledge, ToolSearch
from core.agentscope.runtime.agent.shared_state import RunState
from core.agentscope.runtime.agent.skills import VIEWER, add_skills
from core.agentscope.runtime.agent.subagents import SubagentKit, SubagentTool
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME
from core.agentscope.runtime.agent.toolkit import (
    GateMiddleware,
    RunToolkit,
    ToolGate,
    approval_schemas,
    run_tools,
)
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.internal_events import StageName
from core.agentscope.tools.spec import ToolContext
from core.agentscope.tools.update_state import NAME as STATE_TOOL
from core.text import json_text


class AgentFactory:
    """The builder of one run.

    Args:
        kit: The kit of the run.
        command: The request: client tools, and what the application tells about the user's situation.
        context: On whose behalf tools are called.
        shared: The state shared with the application.
        gate: What the agent's tools wait at.
        emit: Takes the events of subagents.
        stop: Stops subagents.
    """

    def __init__(
        self,
        kit: AgentKit,
        command: RunCommand,
        context: ToolContext,
        shared: RunState,
        *,
        gate: ToolGate,
        emit: Emit,
        stop: StopSignal,
    ) -> None:
        self._kit = kit
        self._command = command
        self.knowledge = _knowledge(kit, emit)
        """What the agent may search; ``None`` if its profile has no ``[knowledge]``."""
        self._context = replace(
            context, shared_state=shared, knowledge=self.knowledge and ToolSearch(self.knowledge)
        )
        self._shared = shared
        self._gate = gate
        self.emit = emit
        """Takes the events of the run."""
        self._stop = stop
        self._now = datetime.now(UTC)
        """All prompts of a run name the same date."""

    def agent(
        self,
        stage: StageName,
        intent: Intent,
        toolkit: Toolkit,
        translator: AgentEventTranslator,
        state: AgentState,
        *middlewares: MiddlewareBase,
    ) -> Agent:
        """Build a stage's agent.

        Args:
            stage: Decides on model and prompt.
            intent: Its plan is part of the prompt.
            toolkit: The tools the agent has.
            translator: Takes the usage of the agent's model calls.
            state: The conversation; the agent changes it in place.
            middlewares: Placed behind the gate and the compaction.
        """
        profile = self._kit.profile
        return Agent(
            name=AGENT_NAME,
            system_prompt=self.prompt(stage, intent),
            model=self._kit.model(stage, translator.record, translator.keep),
            toolkit=toolkit,
            middlewares=[
                GateMiddleware(self._gate),
                CompactionMiddleware(
                    self._kit.compaction_model(stage, translator.record), translator.announce
                ),
                *self.passages(),
                *middlewares,
            ],
            state=state,
            context_config=context_config(profile.context),
            react_config=ReActConfig(
                max_iters=profile.limits.max_iterations,
                # Otherwise a cancelled agent ends normally, and asyncio's timeouts take it for a finished one.
                interruption_raise_cancelled_error=True,
            ),
            # On by default. It would write the time of day into the conversation.
            injection_config=InjectionConfig(inject_runtime_state=False),
        )

    def passages(self) -> list[MiddlewareBase]:
        """Return what gives an agent's model the passages that were found for the user's message."""
        knowledge = self.knowledge
        return [PassagesMiddleware(knowledge)] if knowledge and knowledge.settings.when == "always" else []

    def toolkit(self) -> Toolkit:
        """Return all the tools of the run: the server's, the client's and the subagents."""
        toolkit = RunToolkit(self.tools(), self.unlisted_tools())
        self.add_skills(toolkit)
        return toolkit

    def add_skills(self, toolkit: Toolkit) -> None:
        """Add the skills of the profile to a toolkit of this run."""
        add_skills(toolkit, self._kit.skills, self._kit.settings.tools.max_result_bytes)

    def tools(self) -> list[ToolBase]:
        """Return all the tools of ``toolkit``, for a toolkit of the user."""
        # A tool of the client would take the place of the one that reads skills.
        client_tools = [
            item for item in self._command.tools if not (self._kit.skills and item.name == VIEWER)
        ]
        return run_tools(
            [item for item in self._kit.tools if item.tool.name != STATE_TOOL or self._shared.exists],
            client_tools,
            self._context,
            [self._subagent(profile) for profile in self._kit.subagents],
            emit=self.emit,
            logins=self._gate.logins,
        )

    def unlisted_tools(self) -> list[ToolBase]:
        """Return the tools of stored calls that no list has. They can be called, and are not offered."""
        return run_tools(self._kit.unlisted, (), self._context, emit=self.emit, logins=self._gate.logins)

    def translator(self) -> AgentEventTranslator:
        """Return a translator for one agent."""
        return AgentEventTranslator(
            approval_schema=approval_schemas(self._kit.tools),
            expires_at=self.expires_at,
            max_result_bytes=self._kit.max_result_bytes,
            login=self._gate.logins.required,
        )

    def expires_at(self) -> datetime:
        """Return when an interrupt that is raised now expires, by the database's clock, which it is compared with."""
        return self._kit.clock.now() + timedelta(seconds=self._kit.settings.limits.interrupt_seconds)

    def prompt(self, stage: StageName, intent: Intent = UNKNOWN) -> str:
        """Return a stage's system prompt."""
        told = [f"- {item.description}: {item.value}" for item in self._command.context]
        if self._shared.exists:
            told.append(f"- State shared with the application (JSON): {json_text(self._shared.value)}")
        context = "\n".join(told)
        plan = "\n".join(f"{number}. {step}" for number, step in enumerate(intent.plan, start=1))
        return self._kit.prompts[stage].render(
            agent_name=self._kit.profile.name,
            current_date=self._now.date().isoformat(),
            context=f"What the application tells you about the user's situation:\n{context}"
            if context
            else "",
            plan=f"A plan for this request, to follow as far as it fits:\n{plan}" if plan else "",
        )

    def _subagent(self, kit: SubagentKit) -> SubagentTool:
        return SubagentTool(
            kit,
            self._context,
            model=lambda child, announce: self._kit.announcing(announce).model(
                "execution", child.record, child.keep
            ),
            compaction_model=lambda child, announce: self._kit.announcing(announce).compaction_model(
                "execution", child.record
            ),
            calls=self._gate.calls,
            config=context_config(self._kit.profile.context),
            emit=self.emit,
            stop=self._stop,
            max_event_bytes=self._kit.max_result_bytes,
        )


def _knowledge(kit: AgentKit, emit: Emit) -> RunKnowledge | None:
    if kit.retrieval is None or kit.profile.knowledge is None:
        return None
    return RunKnowledge(
        kit.retrieval,
        kit.profile.knowledge,
        emit,
        max_bytes=kit.settings.tools.max_result_bytes,
        max_event_bytes=kit.max_result_bytes,
    )
