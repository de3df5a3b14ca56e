"""One run through its stages: intent, execution, report. Emits internal events and nothing else.

* intent: says what kind of request this is. Off unless the profile wants it (docs/adr/0022); skipped when the request
  only answers an interrupt or a client tool. Without it the agent has all its tools, and no plan.
* execution: the agent's loop of model and tools. A request may bring a new message beside the answer to an interrupt.
  Then the decided calls are carried out first, in an execution of their own.
* report: writes the final answer when execution left none. A run without an answer fails with ``model-empty``.

A run that has spent its own budget ends there, or asks whether to go on with as much again (``when_exhausted``). After
a yes the next run goes on from the conversation as it stood. After a no it ends with ``budget-exhausted``.

All stages share one conversation. A stop cancels the model or the tool at work; what was said until then is emitted
first. How agents and prompts are built is in ``agent/agent_factory.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import agentscope
from agentscope.agent import Agent
from agentscope.message import Msg, UserMsg
from agentscope.middleware import MiddlewareBase
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.runtime.agent.agent_events import AgentEventTranslator, new_id
from core.agentscope.runtime.agent.agent_factory import AgentFactory
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.budget_question import budget_question
from core.agentscope.runtime.agent.drive import Save, drive_agent, step_limit_detail
from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.factory.hosting import AgentHost, HostedAgent
from core.agentscope.runtime.agent.hold import HoldMiddleware
from core.agentscope.runtime.agent.intent import UNKNOWN, Intent, find_intent
from core.agentscope.runtime.agent.knowledge.run_knowledge import KEPT
from core.agentscope.runtime.agent.open_tool_calls import (
    INTERRUPTED,
    OpenToolCalls,
    checkpoint_of,
    client_calls,
    settle_open_tool_calls,
    waits_for_user,
)
from core.agentscope.runtime.agent.runner.held_messages import held_messages, with_messages_held
from core.agentscope.runtime.agent.runner.kept_calls import kept_decisions
from core.agentscope.runtime.agent.runner.stage import RunnerStage, runner_stage
from core.agentscope.runtime.agent.shared_state import RunState
from core.agentscope.runtime.agent.silence import SilenceMiddleware
from core.agentscope.runtime.agent.snapshots import MESSAGES_OMITTED, omitted, snapshot_bytes, snapshots
from core.agentscope.runtime.agent.thread_memory import (
    AGENT_NAME,
    ThreadMemory,
    restore_state,
    until_heard,
    user_msg,
)
from core.agentscope.runtime.agent.toolkit import RunToolkit, ToolCallCount, ToolGate
from core.agentscope.runtime.model.ambient_meter import book_with, metered_run
from core.agentscope.runtime.model.metered_model import ForeignMeter
from core.agentscope.runtime.profile.run_budget import RunBudgetExhausted
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.internal_events import (
    CustomEvent,
    ModelUsage,
    RunFinished,
    StepFinished,
    StepStarted,
    ToolResult,
    ToolState,
)
from core.agentscope.schemas.messages import ToolMessage, UserMessage
from core.agentscope.tools.spec import ToolContext
from core.errors import BudgetExhausted, MaxIterations, ModelEmpty

MEMORY_REBUILT = "agentroute.memory-rebuilt"
REPORT_REQUEST = "<system-reminder>Write the final answer to the user's last request now.</system-reminder>"


@dataclass(frozen=True, slots=True)
class RunTask:
    """What one run has to do, loaded before it starts."""

    command: RunCommand
    context: ToolContext
    memory: ThreadMemory
    claims: dict[str, Any] = field(default_factory=dict)
    """Of the caller's token, for the factory of a user's agent."""


class AgentScopeOrchestrator:
    """Runs the stages of one run.

    Args:
        kit: The parts that a process' runs share, with this run's budget and ledger.
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
        self._gate = ToolGate(stop, ToolCallCount(kit.profile.limits.max_tool_calls))
        self._factory = AgentFactory(
            kit, task.command, task.context, self._shared, gate=self._gate, emit=emit, stop=stop
        )
        kept = self._state.middle_context.pop(KEPT, None)
        if (knowledge := self._factory.knowledge) is not None:
            knowledge.go_on(kept)
        self._waits = False
        """Whether the run has ended with something that the user or the client is to do before it goes on."""
        self._hosted: HostedAgent | None = None
        """The agent that the user's factory made for this run."""
        self._new = [user_msg(item) for item in _unanswered(task.command)]
        self._held = held_messages(self._state)
        self._unheard: list[Msg] = [*self._held, *self._new]
        """The user messages that the agent was not given yet."""
        self._decides_first = False
        """Whether the runner is at work on decided calls, and is given the messages later."""
        self._client_calls = client_calls(self._state)
        """The calls that earlier runs handed to the client: the server emits no result for them."""
        self._calls = self._settle()
        self._runner = runner_stage(
            kit,
            self._factory,
            self._host,
            self._state,
            self._shared,
            gate=self._gate,
            emit=emit,
            save=save,
            stop=stop,
            client_calls=self._client_calls,
            memory=task.memory,
            command=task.command,
        )

    def checkpoint(self) -> Checkpoint:
        """Return the conversation as it stands: at the run's end, whatever the end is."""
        state = self._state
        unfinished = bool(state.get_unfinished_tool_calls(AGENT_NAME))
        if self._unheard and (self._decides_first or self._held) and (self._waits or unfinished):
            state = with_messages_held(state, self._unheard)
        elif self._unheard and not unfinished:
            # The run ended before the agent was given the new messages. The user sees them in history, so the
            # next run must find them in the conversation.
            state = state.model_copy(update={"context": [*state.context, *self._unheard]})
        if self._waits and self._factory.knowledge is not None:
            state = self._factory.knowledge.kept_in(state)
        return checkpoint_of(state, agentscope.__version__)

    async def run(self) -> RunFinished:
        """Go through the stages and return how the run ended in order.

        Raises:
            RunStopped: The run was told to stop.
            RunFailure: The run cannot go on; code and message are safe to show.
            BudgetExhausted: A model call does not fit into what is left, and nobody is to be asked, or said no.
        """
        try:
            with metered_run():
                end = await self._run()
        except RunBudgetExhausted as exc:
            if self._kit.profile.limits.when_exhausted == "end":
                raise
            await self._emit(budget_question(exc, self._factory.expires_at()))
            end = RunFinished(outcome="interrupt")
        self._waits = end.outcome == "interrupt" or bool(end.pending_tool_call_ids)
        return end

    async def _run(self) -> RunFinished:
        if not self._task.memory.goes_on and not self._new:
            raise BudgetExhausted("The run's budget was not raised, so it ends here.")
        anew = self._task.command.options().messages_snapshot == "anew"
        memory = self._task.memory
        room = snapshot_bytes(self._kit.settings.worker.max_event_bytes)
        if memory.history_omitted_bytes:
            await self._emit(omitted(MESSAGES_OMITTED, memory.history_omitted_bytes, room))
        for snapshot in snapshots(memory.history, anew=anew, max_bytes=room):
            await self._emit(snapshot)
        await self._shared.show(max_bytes=room)
        if memory.rebuilt:
            await self._emit(CustomEvent(name=MEMORY_REBUILT, value={"messages": len(memory.later_messages)}))
        await self._tell_not_made()
        calls, fresh = self._calls, self._unheard
        answers: Any = calls.decisions or calls.answers
        inputs: Any = answers or fresh
        if not (answers or self._new) and (pending := client_calls(self._state)):
            # The user did not log in for the only other call. The agent goes on when the client has answered.
            return RunFinished(pending_tool_call_ids=pending)
        if fresh and calls.decisions and self._runner is None:
            await self._carry_out(calls)
            inputs = fresh
        intent = UNKNOWN
        if fresh and self._kit.profile.runs("intent"):
            intent = await self._find_intent(fresh)
        if self._runner is not None:
            answered = await self._call_runner(self._runner, intent)
        else:
            answered = await self._execute(inputs, intent, approved=() if fresh else calls.approved)
        if waits_for_user(self._state) or (self._runner is not None and self._runner.asks):
            return RunFinished(outcome="interrupt")
        if pending := client_calls(self._state):
            return RunFinished(pending_tool_call_ids=pending)
        mode = self._kit.profile.report_mode
        if mode == "always" or (mode == "auto" and not answered):
            answered = await self._report(intent) or answered
        if not answered:
            who = "model" if self._runner is None else "agent"
            raise ModelEmpty(f"The {who} ended without an answer. Try again, or ask in another way.")
        return RunFinished()

    # --- what the agent is given -------------------------------------------------

    def _settle(self) -> OpenToolCalls:
        """Bring the state up to date: the calls that an earlier run left open, and what history has beyond it."""
        command = self._task.command
        return settle_open_tool_calls(
            self._state,
            self._task.memory,
            decisions=[*self._task.memory.gated_calls, *kept_decisions(self._state)]
            if command.resume
            else (),
            results=[item for item in command.messages if isinstance(item, ToolMessage)],
            moves_on=bool(self._new),
            is_server_tool=self._is_server_tool,
        )

    def _is_server_tool(self, name: str) -> bool:
        if self._kit.maker is not None or self._kit.user_runner is not None:
            # What the code of users adds to the tools is not known before the agent is made. The client's tools are.
            return all(tool.name != name for tool in self._task.command.tools)
        return self._kit.is_server_tool(name)

    async def _tell_not_made(self) -> None:
        # Every call gets one result on the wire, also a call that will never be made.
        for call_id in self._calls.cut_off:
            await self._emit(_result(call_id, INTERRUPTED, "interrupted"))
        for call_id, told in self._calls.not_connected.items():
            await self._emit(_result(call_id, told, "denied"))

    # --- stages ------------------------------------------------------------------

    async def _find_intent(self, fresh: list[Msg]) -> Intent:
        usages: list[ModelUsage] = []
        await self._emit(StepStarted(name="intent"))
        try:
            model = self._kit.model("intent", usages.append)
            prompt = self._factory.prompt("intent")
            return await self._stop.guard(find_intent(model, prompt, self._state, fresh))
        finally:
            for usage in usages:
                await self._emit(usage)
            await self._emit(StepFinished(name="intent"))

    async def _carry_out(self, calls: OpenToolCalls) -> None:
        """Make the decided calls, and stop before the model: the agent is given the new message first."""
        agent, translator = await self._executing(UNKNOWN, self._factory.toolkit, first=HoldMiddleware())
        await self._emit(StepStarted(name="execution"))
        await self._open_gate(calls.approved)
        # The user has moved on: a login that is still missing is not asked for again.
        self._gate.logins.may_ask = False
        # No checkpoints here: a checkpoint of this run counts as having the new message, and this state lacks it.
        await self._drive(agent, calls.decisions, translator, save=None)
        self._gate.logins.may_ask = True
        await self._emit(StepFinished(name="execution"))

    async def _execute(self, inputs: Any, intent: Intent, *, approved: Sequence[str]) -> bool:
        """Run the agent; returns whether its last words are an answer."""
        # A plain chat is given no tools: their schemas cost tokens, and invite calls that nobody asked for.
        tools = self._factory.toolkit if intent.kind == "task" or intent.needs_tools else RunToolkit
        # The report stage asks again anyway.
        silence = SilenceMiddleware(retries=1 if self._kit.profile.report_mode == "off" else 0)
        agent, translator = await self._executing(intent, tools, last=silence)
        await self._emit(StepStarted(name="execution"))
        await self._open_gate(approved)
        await self._search(self._unheard)
        with until_heard(self._unheard, self._state):
            await self._drive(agent, inputs, translator, save=self._save)
        await self._emit(StepFinished(name="execution"))
        if translator.exceeded_iterations:
            raise MaxIterations(
                step_limit_detail("agent", agent.react_config.max_iters, summed_up=translator.wrote_text)
            )
        return translator.wrote_text

    async def _search(self, fresh: Sequence[Msg]) -> None:
        """Search for what the user has just written. A run that only answers a question goes on with what it has."""
        if fresh and (knowledge := self._factory.knowledge) is not None:
            await self._stop.guard(knowledge.search_for_messages(_unanswered(self._task.command)))

    async def _executing(
        self,
        intent: Intent,
        tools: Callable[[], Toolkit],
        *,
        first: MiddlewareBase | None = None,
        last: MiddlewareBase | None = None,
    ) -> tuple[Agent, AgentEventTranslator]:
        """Return the agent of the execution stage: the profile's, or the one with code of users in it.

        Args:
            intent: Part of the prompt.
            tools: What the profile's agent is given; an empty one takes the tools of a user's agent, too.
            first: Placed before the middlewares of a user's agent.
            last: Placed behind all others.
        """
        middlewares = [each for each in (first, last) if each is not None]
        maker = self._kit.maker
        if maker is None:
            translator = self._factory.translator()
            meter = book_with(ForeignMeter(self._kit.services, translator.record))
            if (knowledge := self._factory.knowledge) is not None:
                self._host().search_for(knowledge, translator, meter, intent, self._state)
            agent = self._factory.agent("execution", intent, tools(), translator, self._state, *middlewares)
            return agent, translator
        if self._hosted is None:
            self._hosted = await self._host().make_in_time(
                self._stop, maker, intent, self._state, fresh=self._task.memory.state is None
            )
        hosted = self._hosted
        book_with(hosted.meter)
        if self._kit.user_factory is None:
            # The agent may have been made before the plan was known, which is part of the profile's prompt.
            vars(hosted.installed.agent)["_system_prompt"] = self._factory.prompt("execution", intent)
        if tools is RunToolkit:
            hosted.installed.agent.toolkit = RunToolkit()
        hosted.installed.use(first=[first] if first else [], last=[last] if last else [])
        return hosted.installed.agent, hosted.translator

    async def _call_runner(self, runner: RunnerStage, intent: Intent) -> bool:
        """Call the user's runner; returns whether it has answered."""
        calls = self._calls
        await self._emit(StepStarted(name="execution"))
        await self._open_gate(calls.approved)
        if self._unheard and (calls.decisions or not self._new):
            # The decided calls first: behind a new message they would be open for ever. No checkpoints, as above.
            self._decides_first = True
            answered = await runner.run((), calls, intent, saves=False)
            if runner.asks or waits_for_user(self._state) or client_calls(self._state):
                # Behind the new message the questions would not be found. It waits for the next run.
                await self._emit(StepFinished(name="execution"))
                return answered
            calls = OpenToolCalls()
        fresh, self._unheard = self._unheard, []
        answered = await runner.run(fresh, calls, intent, search=lambda: self._search(fresh))
        await self._emit(StepFinished(name="execution"))
        return answered

    def _host(self) -> AgentHost:
        task = self._task
        return AgentHost(
            self._kit,
            self._factory,
            task.command,
            task.context,
            self._gate,
            claims=task.claims,
            shared=task.memory.shared_state,
        )

    async def _open_gate(self, approved: Sequence[str]) -> None:
        """Let approved calls through the gate: their ``TOOL_CALL_END`` was committed by an earlier run."""
        if approved:
            # A run that has shown nothing is repeated when its worker is lost. So before a tool acts, an event
            # of this run must be durable.
            await self._durable()
            for call_id in approved:
                self._gate.open(call_id)

    async def _report(self, intent: Intent) -> bool:
        """Write the final answer over a copy of the conversation; only the answer itself is kept.

        Returns whether there is one.
        """
        shared = self._state
        self._state = shared.model_copy(deep=True)
        translator = self._factory.translator()
        # The report has no tools. But a task that a tool has started may still ask a model.
        book_with(ForeignMeter(self._kit.services, translator.record))
        agent = self._factory.agent(
            "report", intent, RunToolkit(), translator, self._state, SilenceMiddleware(retries=0)
        )
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
        return translator.wrote_text

    async def _drive(
        self, agent: Agent, inputs: Any, translator: AgentEventTranslator, *, save: Save | None
    ) -> None:
        hosted = self._hosted if self._hosted and agent is self._hosted.installed.agent else None
        try:
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
        except Exception as exc:
            # A failure while the run is being stopped is a consequence of the stop.
            if hosted is None or self._stop.is_set:
                raise
            raise hosted.explained(exc) from exc


def _result(call_id: str, text: str, state: ToolState) -> ToolResult:
    return ToolResult(message_id=new_id("res"), tool_call_id=call_id, content=text, state=state)


def _unanswered(command: RunCommand) -> list[UserMessage]:
    """Return the user messages after the last answer; those before it are imported and answered already."""
    last_answer = max(
        (position for position, message in enumerate(command.messages) if message.role == "assistant"),
        default=-1,
    )
    return [item for item in command.messages[last_answer + 1 :] if isinstance(item, UserMessage)]
