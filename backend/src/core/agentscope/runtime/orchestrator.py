"""One run through its stages: intent, execution, report. Emits internal events and nothing else.

* intent: what kind of request this is (skipped for answers and tool results).
* execution: the agent's loop of model and tools. When something new is said beside the answer to an interrupt,
  the decided calls are made first, in an execution of their own.
* report: the final answer, when execution left none.

A run that has spent its own budget ends there, or asks whether to go on with as much again: a yes goes on from
the conversation as it stood, a no ends it.

All stages share one conversation. A stop cancels the model or the tool at
work; what was said until then is emitted first.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import agentscope
from agentscope.agent import Agent, InjectionConfig, ReActConfig
from agentscope.message import Msg, UserMsg
from agentscope.middleware import MiddlewareBase
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.runtime.agent.agent_events import AgentEventTranslator, new_id
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.compaction import CompactionMiddleware, context_config
from core.agentscope.runtime.agent.drive import Emit, Save, drive_agent
from core.agentscope.runtime.agent.hold import HoldMiddleware
from core.agentscope.runtime.agent.intent import UNKNOWN, Intent, find_intent
from core.agentscope.runtime.agent.open_tool_calls import (
    INTERRUPTED,
    OpenToolCalls,
    checkpoint_of,
    client_calls,
    settle_open_tool_calls,
    waits_for_user,
)
from core.agentscope.runtime.agent.shared_state import RunState
from core.agentscope.runtime.agent.snapshots import snapshots
from core.agentscope.runtime.agent.subagents import SubagentKit, SubagentTool
from core.agentscope.runtime.agent.thread_memory import (
    AGENT_NAME,
    ThreadMemory,
    restore_state,
    user_msg,
)
from core.agentscope.runtime.agent.toolkit import (
    GateMiddleware,
    ToolGate,
    answer_schema,
    approval_schemas,
    build_toolkit,
)
from core.agentscope.runtime.profile.run_budget import RunBudgetExhausted
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.internal_events import (
    InterruptRequested,
    ModelUsage,
    RunFinished,
    StageName,
    StepFinished,
    StepStarted,
    ToolResult,
)
from core.agentscope.schemas.messages import ToolMessage, UserMessage
from core.agentscope.tools.spec import ToolContext
from core.agentscope.tools.update_state import NAME as STATE_TOOL
from core.errors import BudgetExhausted, MaxIterations

REPORT_REQUEST = "<system-reminder>Write the final answer to the user's last request now.</system-reminder>"


@dataclass(frozen=True, slots=True)
class RunTask:
    """What one run has to do, loaded before it starts."""

    command: RunCommand
    context: ToolContext
    memory: ThreadMemory


class AgentScopeOrchestrator:
    """Runs the stages of one run.

    Args:
        kit: What the process' runs share.
        task: What to do.
        emit: Takes every event, in order; returns once the runtime may act on it.
        durable: Returns once everything emitted is committed.
        save: Keeps a checkpoint; the newest wins.
        stop: Says when and why to stop.
    """

    def __init__(
        self,
        kit: AgentKit,
        task: RunTask,
        *,
        emit: Emit,
        durable: Callable[[], Awaitable[None]],
        save: Save,
        stop: StopSignal,
    ) -> None:
        self._kit = kit
        self._task = task
        self._emit = emit
        self._durable = durable
        self._save = save
        self._stop = stop
        self._shared = RunState(task.memory.shared_state, emit)
        self._state: AgentState = restore_state(task.memory, task.context.thread_id)
        self._gate = ToolGate(stop, max_calls=kit.profile.limits.max_tool_calls)
        self._unheard: list[Msg] = _new_to_answer(task.command)
        """What the user said and the agent was not given yet."""
        self._client_calls = client_calls(self._state)
        """Whatever becomes of these, the server answers none of them."""
        self._calls = self._settle()
        self._now = datetime.now(UTC)

    def checkpoint(self) -> Checkpoint:
        """Return the conversation as it stands: at the run's end, whatever the end is."""
        state = self._state
        if self._unheard and not state.get_unfinished_tool_calls(AGENT_NAME):
            # The run ended before the agent could hear it; the next one goes on from what the user saw.
            state = state.model_copy(update={"context": [*state.context, *self._unheard]})
        return checkpoint_of(state, agentscope.__version__)

    async def run(self) -> RunFinished:
        """Go through the stages and return how the run ended in order.

        Raises:
            RunStopped: The run was told to stop.
            RunFailure: The run cannot go on; code and message are safe to show.
            BudgetExhausted: A model call does not fit into what is left, and nobody is to be asked, or said no.
        """
        try:
            return await self._run()
        except RunBudgetExhausted as exc:
            if self._kit.profile.limits.when_exhausted == "end":
                raise
            await self._emit(_question(exc, self._expires_at()))
            return RunFinished(outcome="interrupt")

    async def _run(self) -> RunFinished:
        if not self._task.memory.goes_on and not self._unheard:
            raise BudgetExhausted("The run's budget was not raised, so it ends here.")
        anew = self._task.command.options().messages_snapshot == "anew"
        for snapshot in snapshots(self._task.memory.history, anew=anew):
            await self._emit(snapshot)
        await self._shared.show()
        await self._tell_cut_off()
        calls, fresh = self._calls, self._unheard
        inputs: Any = calls.decisions or calls.answers or fresh
        if fresh and calls.decisions:
            await self._carry_out(calls)
            inputs = fresh
        intent = UNKNOWN
        if fresh and self._kit.profile.stages.intent == "model":
            intent = await self._find_intent(fresh)
        answered = await self._execute(inputs, intent, approved=() if fresh else calls.approved)
        if waits_for_user(self._state):
            return RunFinished(outcome="interrupt")
        if pending := client_calls(self._state):
            return RunFinished(pending_tool_call_ids=pending)
        mode = self._kit.profile.stages.report
        if mode == "always" or (mode == "auto" and not answered):
            await self._report(intent)
        return RunFinished()

    # --- what the agent is given -------------------------------------------------

    def _settle(self) -> OpenToolCalls:
        """Bring the state up to date: what an earlier run left open, and what history has beyond it."""
        command = self._task.command
        return settle_open_tool_calls(
            self._state,
            self._task.memory,
            decisions=self._task.memory.gated_calls if command.resume else (),
            results=[item for item in command.messages if isinstance(item, ToolMessage)],
            moves_on=bool(self._unheard),
            server_tools={item.tool.name for item in self._kit.tools}
            | {item.profile.name for item in self._kit.subagents},
        )

    async def _tell_cut_off(self) -> None:
        for call_id in self._calls.cut_off:
            # A gated call that nobody will answer any more still gets its one result.
            await self._emit(
                ToolResult(
                    message_id=new_id("res"), tool_call_id=call_id, content=INTERRUPTED, state="interrupted"
                )
            )

    # --- stages ------------------------------------------------------------------

    async def _find_intent(self, fresh: list[Msg]) -> Intent:
        usages: list[ModelUsage] = []
        await self._emit(StepStarted(name="intent"))
        try:
            model = self._kit.model("intent", usages.append)
            prompt = self._prompt("intent")
            return await self._stop.guard(find_intent(model, prompt, self._state, fresh))
        finally:
            for usage in usages:
                await self._emit(usage)
            await self._emit(StepFinished(name="intent"))

    async def _carry_out(self, calls: OpenToolCalls) -> None:
        """Make the decided calls and stop where the model would be asked: the user has said more since."""
        translator = self._translator()
        toolkit = self._toolkit()
        agent = self._agent("execution", UNKNOWN, toolkit, translator, HoldMiddleware())
        await self._emit(StepStarted(name="execution"))
        await self._open_gate(calls.approved)
        # No checkpoint on the way: it would stand for the new message too, which the agent has not heard yet.
        await self._drive(agent, calls.decisions, translator, save=None)
        await self._emit(StepFinished(name="execution"))

    async def _execute(self, inputs: Any, intent: Intent, *, approved: Sequence[str]) -> bool:
        """Run the agent; returns whether its last words are an answer."""
        # A plain chat needs no tools: they cost tokens and invite calls nobody asked for.
        toolkit = self._toolkit() if intent.kind == "task" or intent.needs_tools else Toolkit()
        translator = self._translator()
        agent = self._agent("execution", intent, toolkit, translator)
        await self._emit(StepStarted(name="execution"))
        await self._open_gate(approved)
        self._unheard = []
        await self._drive(agent, inputs, translator, save=self._save)
        await self._emit(StepFinished(name="execution"))
        if translator.exceeded_iterations:
            raise MaxIterations(
                f"The agent stopped after {self._kit.profile.limits.max_iterations} steps without an answer."
            )
        return translator.wrote_text

    async def _open_gate(self, approved: Sequence[str]) -> None:
        """Let approved calls through: their own events are of an earlier run."""
        if approved:
            # A run that has shown nothing is tried again if its worker is lost: not after a tool has acted.
            await self._durable()
            for call_id in approved:
                self._gate.open(call_id)

    async def _report(self, intent: Intent) -> None:
        """Write the final answer over a copy of the conversation; only the answer itself is kept."""
        shared = self._state
        self._state = shared.model_copy(deep=True)
        translator = self._translator()
        agent = self._agent("report", intent, Toolkit(), translator)
        await self._emit(StepStarted(name="report"))
        try:
            request = UserMsg(name="user", content=REPORT_REQUEST)
            await self._drive(agent, request, translator, save=self._save)
        finally:
            answer = self._state.context[-1] if self._state.context else None
            self._state = shared
            if answer is not None and answer.role == "assistant" and answer not in shared.context:
                shared.context.append(answer)
        await self._emit(StepFinished(name="report"))

    async def _drive(
        self,
        agent: Agent,
        inputs: Any,
        translator: AgentEventTranslator,
        *,
        save: Save | None,
    ) -> None:
        await drive_agent(
            agent,
            inputs,
            translator,
            emit=self._emit,
            save=save,
            gate=self._gate,
            stop=self._stop,
            client_calls=self._client_calls,
        )

    # --- parts -------------------------------------------------------------------

    def _agent(
        self,
        stage: StageName,
        intent: Intent,
        toolkit: Toolkit,
        translator: AgentEventTranslator,
        *middlewares: MiddlewareBase,
    ) -> Agent:
        profile = self._kit.profile
        return Agent(
            name=AGENT_NAME,
            system_prompt=self._prompt(stage, intent),
            model=self._kit.model(stage, translator.record, translator.keep),
            toolkit=toolkit,
            middlewares=[
                GateMiddleware(self._gate),
                CompactionMiddleware(
                    self._kit.compaction_model(stage, translator.record),
                    translator.announce,
                ),
                *middlewares,
            ],
            state=self._state,
            context_config=context_config(profile.context),
            react_config=ReActConfig(
                max_iters=profile.limits.max_iterations,
                # Or asyncio's own timeouts would see a cancelled agent as a finished one.
                interruption_raise_cancelled_error=True,
            ),
            # On by default, and it would write the clock into the conversation.
            injection_config=InjectionConfig(inject_runtime_state=False),
        )

    def _toolkit(self) -> Toolkit:
        context = replace(self._task.context, shared_state=self._shared)
        return build_toolkit(
            [item for item in self._kit.tools if item.tool.name != STATE_TOOL or self._shared.exists],
            self._task.command.tools,
            context,
            [self._subagent(profile, context) for profile in self._kit.subagents],
        )

    def _subagent(self, kit: SubagentKit, context: ToolContext) -> SubagentTool:
        return SubagentTool(
            kit,
            context,
            model=lambda child: self._kit.model("execution", child.record, child.keep),
            compaction_model=lambda child: self._kit.compaction_model("execution", child.record),
            config=context_config(self._kit.profile.context),
            emit=self._emit,
            stop=self._stop,
            max_event_bytes=self._kit.settings.tools.max_event_bytes,
        )

    def _translator(self) -> AgentEventTranslator:
        settings = self._kit.settings
        return AgentEventTranslator(
            approval_schema=approval_schemas(self._kit.tools),
            expires_at=self._expires_at,
            max_result_bytes=settings.tools.max_event_bytes,
        )

    def _expires_at(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._kit.settings.limits.interrupt_seconds)

    def _prompt(self, stage: StageName, intent: Intent = UNKNOWN) -> str:
        told = [f"- {item.description}: {item.value}" for item in self._task.command.context]
        if self._shared.exists:
            told.append(f"- State shared with the application (JSON): {_json(self._shared.value)}")
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


def _new_to_answer(command: RunCommand) -> list[Msg]:
    """Return the user messages behind the last answer: what comes before it was brought along."""
    last_answer = max(
        (place for place, message in enumerate(command.messages) if message.role == "assistant"), default=-1
    )
    return [user_msg(item) for item in command.messages[last_answer + 1 :] if isinstance(item, UserMessage)]


def _question(exhausted: RunBudgetExhausted, expires_at: datetime) -> InterruptRequested:
    return InterruptRequested(
        interrupt_id=new_id("int"),
        reason="budget_exhausted",
        message=f"{exhausted.detail} Go on with as much again?",
        response_schema=answer_schema(),
        expires_at=expires_at,
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
