"""The execution stage of a run whose agent is a runner: what the runner is given, and how it ends.

The user's new messages are in the conversation before the runner is called. So they are kept however it ends.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import agentscope
import structlog
from agentscope.agent import Agent
from agentscope.event import ReplyStartEvent, RequireExternalExecutionEvent, RequireUserConfirmEvent
from agentscope.message import Msg, ToolCallState
from agentscope.middleware import MiddlewareBase
from agentscope.state import AgentState
from pydantic_core import to_jsonable_python

from core.agentscope.events import interrupt_status
from core.agentscope.runtime.agent.agent_factory import AgentFactory
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.drive import Save
from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.factory.agent_run import AgentRun, RunInputs, RunParts
from core.agentscope.runtime.agent.factory.hosting import AgentHost, failure_of
from core.agentscope.runtime.agent.intent import Intent
from core.agentscope.runtime.agent.knowledge.passages_middleware import with_reminder
from core.agentscope.runtime.agent.open_tool_calls import OpenToolCalls, checkpoint_of
from core.agentscope.runtime.agent.runner.conversation import (
    WAITING,
    Conversation,
    hide_names,
    is_of_runner,
    show_name,
    waiting_agent,
)
from core.agentscope.runtime.agent.runner.events import Answer, ToolResult
from core.agentscope.runtime.agent.runner.kept_calls import KeptCalls
from core.agentscope.runtime.agent.runner.own_voice import YieldRefused
from core.agentscope.runtime.agent.runner.pump import RunnerPump
from core.agentscope.runtime.agent.runner.side_work import SideWork
from core.agentscope.runtime.agent.runner.tool_calls import OwnCalls, ShownCalls
from core.agentscope.runtime.agent.runner.user_runner import UserRunner
from core.agentscope.runtime.agent.runner.yields import RunnerTranslator
from core.agentscope.runtime.agent.shared_state import RunState
from core.agentscope.runtime.agent.thread_memory import Answered, ThreadMemory, finish_call, text_of
from core.agentscope.runtime.agent.toolkit import ToolGate
from core.agentscope.runtime.model.ambient_meter import book_with
from core.agentscope.runtime.model.metered_model import ForeignMeter
from core.agentscope.runtime.profile.run_budget import RunBudgetExhausted
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.messages import ToolMessage
from core.errors import AgentFailed, MaxIterations
from core.text import clean_json

log = structlog.get_logger(__name__)

_QUESTIONS = "agentroute_questions"
"""In the state's ``middle_context``: the runner's ids of its open questions, by the id of the interrupt."""
_ANSWERS = "agentroute_answers"
"""There, too: answers that no runner was given yet, by the runner's ids."""
_NOT_STORED = "The agent's code has a mistake: what it keeps in middle_context cannot be written as JSON."
_MAX_CAUSE = 500
"""Characters in the log."""
_STEPS = "The agent stopped at its step limit, before it was done. Its last message sums up the work so far."


class RunnerStage:
    """Calls the user's runner for one run.

    Args:
        kit: The kit of the run.
        runner: The user's.
        builder: Builds what agents and tools work with.
        host: Makes what the runner is given.
        state: The thread's conversation; changed in place.
        shared: The state that the application shares.
        gate: What tools wait at.
        emit: Takes each event.
        save: Takes checkpoints.
        stop: Says when to stop.
        client_calls: Calls that earlier runs handed to the client.
        answered: The answers to questions that the run brings.
        results: The client's tool messages that the run brings.
    """

    def __init__(
        self,
        kit: AgentKit,
        runner: UserRunner,
        builder: AgentFactory,
        host: AgentHost,
        state: AgentState,
        shared: RunState,
        *,
        gate: ToolGate,
        emit: Emit,
        save: Save,
        stop: StopSignal,
        client_calls: Sequence[str],
        answered: Sequence[Answered],
        results: Sequence[ToolMessage],
    ) -> None:
        self._kit = kit
        self._runner = runner
        self._builder = builder
        self._host = host
        self._state = state
        self._shared = shared
        self._gate = gate
        self._emit = emit
        self._save = save
        self._stop = stop
        self._client_calls = client_calls
        self._results = [each for each in results if each.tool_call_id in client_calls]
        asked = state.middle_context.pop(_QUESTIONS, {})
        if answered:
            # A run may end before it calls the runner. The answers wait for it.
            state.middle_context[_ANSWERS] = state.middle_context.get(_ANSWERS, {}) | {
                asked.get(each.interrupt_id, each.interrupt_id): _stored_answer(each) for each in answered
            }
        self.asks = False
        """Whether the runner has asked the user something."""

    async def run(
        self,
        messages: Sequence[Msg],
        calls: OpenToolCalls,
        intent: Intent,
        *,
        search: Callable[[], Awaitable[None]] | None = None,
        saves: bool = True,
    ) -> bool:
        """Call the runner, and return whether it has answered. Answers and results are given to one call only.

        Args:
            messages: The new ones of the user.
            calls: What the run brings for the calls of the run before.
            intent: What the intent stage found.
            search: Looks for what the user has written, as the profile says.
            saves: Whether checkpoints are taken on the way.

        Raises:
            RunStopped: The run was told to stop.
            RunFailure: The runner failed; the log has the reason.
        """
        own = bool(self._state.context) and is_of_runner(self._state.context[-1])
        if own and calls.answers is not None:
            open_calls = self._state.context[-1].get_content_blocks("tool_call")
            for block in calls.answers.execution_results:
                finish_call(self._state, next(call for call in open_calls if call.id == block.id), block)
        waits = waiting_agent(self._state)
        self._state.context.extend(messages)
        given = self._given(messages, None if own else calls.decisions or calls.answers, waits)
        kept = KeptCalls.taken_from(self._state, goes_on=not messages)
        side = SideWork(self._stop, self._runner.reference)
        conversation = Conversation(self._state, [message.id for message in messages])
        translator = self._translator(conversation)
        pump = RunnerPump(
            translator,
            self._shared,
            emit=self._emit,
            save=(lambda: self._save(checkpoint_of(conversation.whole(), agentscope.__version__)))
            if saves
            else _no_checkpoint,
            gate=self._gate,
            stop=self._stop,
            reference=self._runner.reference,
            side=side,
        )
        # What tools ask of models by themselves is booked with the run.
        meter = book_with(ForeignMeter(self._kit.services, translator.record))
        own_calls = OwnCalls(
            self._builder.tools(),
            self._state,
            conversation,
            translator,
            pump,
            self._gate,
            calls,
            kept,
            side,
            own=own,
        )
        shown = ShownCalls(translator, pump, side)
        run = self._run_of(translator, meter, intent, given, own_calls, shown, conversation)
        if self._builder.knowledge is not None:
            self._builder.knowledge.bind(run)
        if search is not None:
            await search()
        unstorable = await self._drive(run, pump, translator, meter, own_calls, kept, side)
        if unstorable:
            log.error("runner_state_not_storable", runner=self._runner.reference, names=unstorable)
            raise AgentFailed(_NOT_STORED)
        await self._ask_what_was_hidden(translator)
        self.asks = bool(translator.questions)
        if translator.exceeded_iterations:
            raise MaxIterations(_STEPS)
        return translator.answered

    async def _drive(
        self,
        run: AgentRun,
        pump: RunnerPump,
        translator: RunnerTranslator,
        meter: ForeignMeter,
        own_calls: OwnCalls,
        kept: KeptCalls,
        side: SideWork,
    ) -> list[str]:
        """Run the runner to its end; returns the names of what cannot be stored."""
        show_name(self._state)
        asks_for_more = self._kit.profile.limits.when_exhausted == "ask"

        def before_end(error: BaseException | None) -> None:
            if side.parked or (asks_for_more and isinstance(error, RunBudgetExhausted)):
                own_calls.keep_decisions()

        try:
            await pump.drive(self._runner(run), before_end=before_end)
            if side.parked or waiting_agent(self._state) is not None:
                kept.keep_in(self._state)
        except RunBudgetExhausted:
            # The user may let the runner go on, and it begins at its first line then, too.
            kept.keep_in(self._state)
            raise
        except YieldRefused as exc:
            raise self._mistake(exc) from exc
        except Exception as exc:
            if self._stop.is_set:
                raise
            raise failure_of(exc, meter, self._runner.reference) from exc
        finally:
            hide_names(self._state)
            unstorable = _without_unstorable(self._state)
            if translator.questions:
                self._state.middle_context[_QUESTIONS] = translator.questions
        return unstorable

    def _given(self, messages: Sequence[Msg], inputs: Any, waits: str | None) -> RunInputs:
        """Return what the runner is given. Answers and results are given once."""
        given = RunInputs(
            messages=messages,
            inputs=inputs or list(messages) or None,
            answers={
                key: Answer(**each) for key, each in self._state.middle_context.pop(_ANSWERS, {}).items()
            },
            results={each.tool_call_id: _result(each) for each in self._results},
            waiting_agent=waits,
        )
        self._results = []
        return given

    def _mistake(self, error: YieldRefused) -> AgentFailed:
        """Return what the run fails with. The cause has words of the author's code, so it is only in the log."""
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        log.error(
            "runner_yield_refused",
            runner=self._runner.reference,
            reason=str(error),
            cause=repr(cause)[:_MAX_CAUSE] if cause is not error else None,
        )
        return AgentFailed(f"The agent's code has a mistake: {error}.")

    def _translator(self, conversation: Conversation) -> RunnerTranslator:
        return RunnerTranslator(
            self._builder.translator,
            conversation,
            client_tools=[tool.name for tool in self._builder.tools() if tool.is_external_tool],
            client_calls=self._client_calls,
            known_calls=_known_calls(self._state),
            expires_at=self._builder.expires_at,
            max_bytes=self._kit.max_result_bytes,
        )

    def _run_of(
        self,
        translator: RunnerTranslator,
        meter: ForeignMeter,
        intent: Intent,
        given: RunInputs,
        calls: OwnCalls,
        shown: ShownCalls,
        conversation: Conversation,
    ) -> AgentRun:
        hosted: dict[int, Agent] = {}

        async def agent(made: Any) -> Agent:
            if (same := hosted.get(id(made))) is not None:
                return same
            ready = await self._hosted(made, run, translator, meter, shown, conversation)
            hosted[id(made)] = hosted[id(ready)] = ready
            return ready

        def with_passages(messages: list[Msg]) -> list[Msg]:
            knowledge = self._builder.knowledge
            return messages if knowledge is None else with_reminder(messages, knowledge.reminder)

        def more(parts: RunParts) -> RunParts:
            return replace(parts, agent=agent, call_tool=calls.call, with_passages=with_passages)

        run = self._host.run_of(
            self._runner,
            translator,
            meter,
            intent,
            self._state,
            given=given,
            for_runner=more,
            middlewares=[shown],
        )
        return run

    async def _hosted(
        self,
        made: Any,
        run: AgentRun,
        translator: RunnerTranslator,
        meter: ForeignMeter,
        shown: MiddlewareBase,
        conversation: Conversation,
    ) -> Agent:
        """Return an agent of the runner with what every agent is given."""
        name = getattr(made, "name", "")
        on_state = getattr(made, "state", None) is self._state
        installed = await self._host.installed(
            made,
            (),
            run,
            translator,
            meter,
            self._state if on_state else None,
            fresh=not on_state,
            adds_tools=False,
            before_gate=[shown, OnState(name, conversation)] if on_state else [shown],
        )
        if not on_state:
            installed.agent.name = name
        for group in installed.agent.toolkit.tool_groups:
            for tool in group.tools:
                if tool.is_external_tool:
                    translator.client_tool(tool.name)
        return installed.agent

    async def _ask_what_was_hidden(self, translator: RunnerTranslator) -> None:
        """Ask for the approvals of an agent whose own questions the runner has not shown."""
        last = self._state.context[-1] if self._state.context else None
        for call in last.get_content_blocks("tool_call") if last is not None else ():
            if call.state == ToolCallState.ASKING and call.id not in translator.asked_calls:
                shown = (
                    []
                    if translator.knows(call.id)
                    else translator.hidden_call(call.id, call.name, call.input)
                )
                for event in (*shown, *translator.approval(call)):
                    await self._emit(event)


def runner_stage(
    kit: AgentKit,
    builder: AgentFactory,
    host: Callable[[], AgentHost],
    state: AgentState,
    shared: RunState,
    *,
    memory: ThreadMemory,
    command: RunCommand,
    **parts: Any,
) -> RunnerStage | None:
    """Return the stage of a run's runner; ``None`` if its agent is no runner. ``parts`` are those of ``RunnerStage``."""
    if kit.user_runner is None:
        return None
    results = [item for item in command.messages if isinstance(item, ToolMessage)]
    answered = memory.answered
    return RunnerStage(
        kit, kit.user_runner, builder, host(), state, shared, answered=answered, results=results, **parts
    )


class OnState(MiddlewareBase):
    """Looks after the thread's state while an agent works on it, also if nobody shows what the agent does.

    The messages of the user that the agent is given are there once. If it waits for the user or the client, the author's
    name of it is noted: in a run all have one name.

    Args:
        name: The author's.
        conversation: Of the run.
    """

    def __init__(self, name: str, conversation: Conversation) -> None:
        self._name = name
        self._conversation = conversation

    async def on_reply(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        async for item in next_handler(**input_kwargs):
            if isinstance(item, ReplyStartEvent):
                self._conversation.without_doubles()
            if (
                isinstance(item, RequireUserConfirmEvent | RequireExternalExecutionEvent)
                and agent.state.context
            ):
                agent.state.context[-1].metadata[WAITING] = self._name
            yield item


def _stored_answer(answered: Answered) -> dict[str, Any]:
    if answered.status == interrupt_status.RESOLVED:
        return {"status": "resolved", "value": answered.value}
    return {"status": "cancelled"}


def _no_checkpoint() -> None:
    """Of a call of the runner whose state lacks what the user has said."""


def _result(message: ToolMessage) -> ToolResult:
    said = message.error or text_of(message.wire()["content"])
    return ToolResult(message.tool_call_id, said, "error" if message.error else "success")


def _known_calls(state: AgentState) -> set[str]:
    return {call.id for message in state.context for call in message.get_content_blocks("tool_call")}


def _without_unstorable(state: AgentState) -> list[str]:
    """Take out of the state what the runner keeps there and no checkpoint can hold; returns the names."""
    bad: list[str] = []
    for name, value in state.middle_context.items():
        try:
            state.middle_context[name] = clean_json(to_jsonable_python(value))
        except (ValueError, TypeError, RecursionError):
            bad.append(name)
    for name in bad:
        del state.middle_context[name]
    return bad
