"""One run through its stages: intent, execution, report. Emits internal events and nothing else.

* intent: what kind of request this is (skipped for answers and tool results).
* execution: the agent's loop of model and tools.
* report: the final answer, when execution left none.

All stages share one conversation. A stop cancels the model or the tool at
work; what was said until then is emitted first.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import agentscope
from agentscope.agent import Agent, ContextConfig, InjectionConfig, ReActConfig
from agentscope.event import ConfirmResult, ExternalExecutionResultEvent, UserConfirmResultEvent
from agentscope.message import Msg, ToolCallBlock, UserMsg
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from core.agentscope.events.run_end import Checkpoint
from core.agentscope.runtime.agent_events import AgentEventTranslator, new_id
from core.agentscope.runtime.agent_kit import AgentKit
from core.agentscope.runtime.client_copy import snapshots
from core.agentscope.runtime.follow import Emit, Save, follow_agent
from core.agentscope.runtime.intent import UNKNOWN, Intent, find_intent
from core.agentscope.runtime.run_budget import RunBudget
from core.agentscope.runtime.shared_state import RunState
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.runtime.subagents import SubagentKit, SubagentTool
from core.agentscope.runtime.thread_memory import (
    AGENT_NAME,
    ThreadMemory,
    close_unfinished,
    restore_state,
    tool_result,
    user_msg,
)
from core.agentscope.runtime.toolkit import GateMiddleware, ToolGate, approval_schemas, build_toolkit
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.internal_events import (
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
from core.errors import MaxIterations

REPORT_REQUEST = "<system-reminder>Write the final answer to the user's last request now.</system-reminder>"


@dataclass(frozen=True, slots=True)
class RunTask:
    """What one run has to do, loaded before it starts."""

    command: RunCommand
    context: ToolContext
    memory: ThreadMemory
    budget: RunBudget


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
        self._approved: list[str] = []
        self._now = datetime.now(UTC)

    def checkpoint(self) -> Checkpoint:
        """Return the conversation as it stands: at the run's end, whatever the end is."""
        return Checkpoint(agentscope.__version__, self._state.model_dump_json())

    async def run(self) -> RunFinished:
        """Go through the stages and return how the run ended in order.

        Raises:
            RunStopped: The run was told to stop.
            RunFailure: The run cannot go on; code and message are safe to show.
        """
        anew = self._task.command.options().messages_snapshot == "anew"
        for snapshot in snapshots(self._task.memory.history, anew=anew):
            await self._emit(snapshot)
        await self._shared.show()
        inputs, fresh = await self._inputs()
        intent = UNKNOWN
        if fresh and self._kit.profile.stages.intent == "model":
            intent = await self._find_intent(fresh)
        answered = await self._execute(inputs, intent)
        waiting = self._state.get_awaiting_tool_calls(AGENT_NAME)
        if any(str(getattr(call.state, "value", call.state)) == "asking" for call in waiting):
            return RunFinished(outcome="interrupt")
        if waiting:
            return RunFinished(pending_tool_call_ids=tuple(call.id for call in waiting))
        mode = self._kit.profile.stages.report
        if mode == "always" or (mode == "auto" and not answered):
            await self._report(intent)
        return RunFinished()

    # --- what the agent is given -------------------------------------------------

    async def _inputs(self) -> tuple[Any, list[Msg]]:
        """Return what the agent takes in, and the new user messages among it."""
        messages = self._task.command.messages
        last_answer = max(
            (place for place, message in enumerate(messages) if message.role == "assistant"), default=-1
        )
        fresh = [user_msg(item) for item in messages[last_answer + 1 :] if isinstance(item, UserMessage)]
        results = [item for item in messages if isinstance(item, ToolMessage)]
        if self._task.memory.gated_calls and not fresh and self._task.command.resume:
            return self._confirmations(), []
        if results and not fresh:
            return self._client_results(results), []
        for call_id in close_unfinished(self._state, results):
            # A gated call that nobody will answer any more still gets its one result.
            await self._emit(
                ToolResult(
                    message_id=new_id("res"),
                    tool_call_id=call_id,
                    content="The call was interrupted; it has no result.",
                    state="interrupted",
                )
            )
        return fresh, fresh

    def _confirmations(self) -> UserConfirmResultEvent:
        """Return the user's decisions over the stored calls; nothing of a client's copy is used."""
        decided = {call.tool_call_id: call for call in self._task.memory.gated_calls}
        confirmations: list[ConfirmResult] = []
        for call in self._state.get_awaiting_tool_calls(AGENT_NAME):
            gated = decided.get(call.id)
            # The call in the agent's state must be the very one the user was asked about.
            matches = gated is not None and (gated.tool_name, gated.arguments) == (call.name, call.input)
            approved = gated is not None and gated.approved and matches
            confirmed = ToolCallBlock.model_validate(call.model_dump())
            if approved and gated is not None and gated.edited is not None:
                confirmed.input = _json(gated.edited)
            if approved:
                self._approved.append(call.id)
            confirmations.append(ConfirmResult(confirmed=approved, tool_call=confirmed))
        return UserConfirmResultEvent(reply_id=self._state.reply_id, confirm_results=confirmations)

    def _client_results(self, results: list[ToolMessage]) -> ExternalExecutionResultEvent:
        names = {call.id: call.name for call in self._state.get_awaiting_tool_calls(AGENT_NAME)}
        return ExternalExecutionResultEvent(
            reply_id=self._state.reply_id,
            execution_results=[
                tool_result(message.tool_call_id, names[message.tool_call_id], message)
                for message in results
                if message.tool_call_id in names
            ],
        )

    # --- stages ------------------------------------------------------------------

    async def _find_intent(self, fresh: list[Msg]) -> Intent:
        usages: list[ModelUsage] = []
        await self._emit(StepStarted(name="intent"))
        try:
            model = self._kit.model("intent", usages.append, self._task.budget)
            prompt = self._prompt("intent")
            return await self._stop.guard(find_intent(model, prompt, self._state, fresh))
        finally:
            for usage in usages:
                await self._emit(usage)
            await self._emit(StepFinished(name="intent"))

    async def _execute(self, inputs: Any, intent: Intent) -> bool:
        """Run the agent; returns whether its last words are an answer."""
        # A plain chat needs no tools: they cost tokens and invite calls nobody asked for.
        with_tools = intent.kind == "task" or intent.needs_tools
        tools = [item for item in self._kit.tools if item.tool.name != STATE_TOOL or self._shared.exists]
        context = replace(self._task.context, shared_state=self._shared)
        toolkit = build_toolkit(
            tools if with_tools else (),
            self._task.command.tools if with_tools else (),
            context,
            [self._subagent(profile, context) for profile in self._kit.subagents if with_tools],
        )
        translator = self._translator()
        agent = self._agent("execution", intent, toolkit, translator)
        client_calls = {message.tool_call_id for message in self._tool_messages()}
        await self._emit(StepStarted(name="execution"))
        if self._approved:
            # A run that has shown nothing is tried again if its worker is lost: not after a tool has acted.
            await self._durable()
            for call_id in self._approved:
                self._gate.open(call_id)
        await self._follow(agent, inputs, translator, answered_by_client=client_calls)
        await self._emit(StepFinished(name="execution"))
        if translator.exceeded_iterations:
            raise MaxIterations(
                f"The agent stopped after {self._kit.profile.limits.max_iterations} steps without an answer."
            )
        return translator.wrote_text

    async def _report(self, intent: Intent) -> None:
        """Write the final answer over a copy of the conversation; only the answer itself is kept."""
        shared = self._state
        self._state = shared.model_copy(deep=True)
        translator = self._translator()
        agent = self._agent("report", intent, Toolkit(), translator)
        await self._emit(StepStarted(name="report"))
        try:
            await self._follow(agent, UserMsg(name="user", content=REPORT_REQUEST), translator)
        finally:
            answer = self._state.context[-1] if self._state.context else None
            self._state = shared
            if answer is not None and answer.role == "assistant" and answer not in shared.context:
                shared.context.append(answer)
        await self._emit(StepFinished(name="report"))

    async def _follow(
        self,
        agent: Agent,
        inputs: Any,
        translator: AgentEventTranslator,
        *,
        answered_by_client: Collection[str] = (),
    ) -> None:
        await follow_agent(
            agent,
            inputs,
            translator,
            emit=self._emit,
            save=self._save,
            gate=self._gate,
            stop=self._stop,
            answered_by_client=answered_by_client,
        )

    # --- parts -------------------------------------------------------------------

    def _agent(
        self, stage: StageName, intent: Intent, toolkit: Toolkit, translator: AgentEventTranslator
    ) -> Agent:
        profile = self._kit.profile
        return Agent(
            name=AGENT_NAME,
            system_prompt=self._prompt(stage, intent),
            model=self._kit.model(stage, translator.record, self._task.budget, translator.keep),
            toolkit=toolkit,
            middlewares=[GateMiddleware(self._gate)],
            state=self._state,
            context_config=ContextConfig(
                trigger_ratio=profile.context.trigger_ratio,
                tool_result_limit=profile.context.tool_result_tokens,
            ),
            react_config=ReActConfig(
                max_iters=profile.limits.max_iterations,
                # Or asyncio's own timeouts would see a cancelled agent as a finished one.
                interruption_raise_cancelled_error=True,
            ),
            # On by default, and it would write the clock into the conversation.
            injection_config=InjectionConfig(inject_runtime_state=False),
        )

    def _subagent(self, kit: SubagentKit, context: ToolContext) -> SubagentTool:
        return SubagentTool(
            kit,
            context,
            model=lambda child: self._kit.model("execution", child.record, self._task.budget, child.keep),
            emit=self._emit,
            stop=self._stop,
            max_event_bytes=self._kit.settings.tools.max_event_bytes,
        )

    def _translator(self) -> AgentEventTranslator:
        settings = self._kit.settings
        return AgentEventTranslator(
            approval_schema=approval_schemas(self._kit.tools),
            expires_at=lambda: datetime.now(UTC) + timedelta(seconds=settings.limits.interrupt_seconds),
            max_result_bytes=settings.tools.max_event_bytes,
        )

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

    def _tool_messages(self) -> list[ToolMessage]:
        return [item for item in self._task.command.messages if isinstance(item, ToolMessage)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
