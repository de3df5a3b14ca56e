"""Subagents: tool calls that a child agent answers. Every event of the child carries its ``subagentRunId``.

A child has a conversation of its own, which ends with its answer. It may use only tools with the permission "allow":
a child cannot wait for the user, because its parent does not wait with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from agentscope.agent import Agent, ContextConfig, InjectionConfig, ReActConfig
from agentscope.message import UserMsg
from agentscope.permission import PermissionBehavior, PermissionContext, PermissionDecision
from agentscope.state import AgentState
from agentscope.tool import ToolBase, ToolChunk

from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.compaction import CompactionMiddleware, CompactionModel
from core.agentscope.runtime.agent.drive import drive_agent, step_limit_detail
from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.silence import SilenceMiddleware
from core.agentscope.runtime.agent.toolkit import (
    GateMiddleware,
    RunToolkit,
    ToolAccess,
    ToolCallCount,
    ToolGate,
    current_tool_call,
    run_tools,
    tool_chunk,
)
from core.agentscope.runtime.model.call_services import Announce
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.profile.profile import Subagent
from core.agentscope.runtime.profile.profile_tools import subagent_tools
from core.agentscope.runtime.stop_signal import RunStopped, StopSignal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.schemas.internal_events import (
    AttributedEvent,
    SubagentFailed,
    SubagentFinished,
    SubagentStarted,
)
from core.agentscope.tools.spec import ToolContext
from core.errors import AgentBackendError, LeaseLost, MaxIterations, ModelEmpty, StoreUnavailable

log = structlog.get_logger(__name__)

CHILD_NAME = "subagent"


@dataclass(frozen=True, slots=True)
class SubagentKit:
    """A subagent of the profile with its tools resolved."""

    profile: Subagent
    tools: tuple[ToolAccess, ...]


def subagent_kit(profile: Subagent, tools: Iterable[ToolAccess]) -> SubagentKit:
    """Resolve a subagent's tools.

    Raises:
        ToolDefinitionError: It names a tool the profile does not have, or one that needs approval.
    """
    chosen = subagent_tools(profile, [(access.tool, access.permission) for access in tools])
    return SubagentKit(profile, tuple(ToolAccess(*each) for each in chosen))


class SubagentTool(ToolBase):
    """One subagent as a tool of one run."""

    is_concurrency_safe = True
    is_read_only = False

    def __init__(
        self,
        kit: SubagentKit,
        context: ToolContext,
        *,
        model: Callable[[AgentEventTranslator, Announce], OpenAICompatibleChatModel],
        compaction_model: Callable[[AgentEventTranslator, Announce], CompactionModel],
        calls: ToolCallCount,
        config: ContextConfig,
        emit: Emit,
        stop: StopSignal,
        max_event_bytes: int,
    ) -> None:
        super().__init__()
        self.name = kit.profile.name
        self.description = kit.profile.description
        self.input_schema = {
            "type": "object",
            "properties": {"task": {"type": "string", "description": "One self-contained task."}},
            "required": ["task"],
            "additionalProperties": False,
        }
        self._kit = kit
        self._context = context
        self._model = model
        self._compaction_model = compaction_model
        self._calls = calls
        self._config = config
        self._emit = emit
        self._stop = stop
        self._max_event_bytes = max_event_bytes

    async def check_permissions(
        self, tool_input: dict[str, Any], context: PermissionContext
    ) -> PermissionDecision:
        return PermissionDecision(PermissionBehavior.ALLOW, "the profile offers this subagent")

    async def call(self, *_args: Any, task: str = "", **_more: Any) -> ToolChunk:
        """Let the child answer. A failure of the child is the result of the call; the run goes on."""
        tool_call_id = current_tool_call()
        subagent_run_id = f"sub-{uuid.uuid4().hex}"

        async def emit(event: InternalRuntimeEvent) -> None:
            if isinstance(event, AttributedEvent):
                event = event.model_copy(update={"subagent_run_id": subagent_run_id})
            await self._emit(event)

        await emit(
            SubagentStarted(name=self.name, description=self.description, parent_tool_call_id=tool_call_id)
        )
        try:
            answer = await self._run(task, emit)
        except _StoppedAtLimit as exc:
            await emit(SubagentFailed(code=MaxIterations.code, message=exc.detail))
            return tool_chunk("error", f"{exc.detail}\n{exc.summary}".strip())
        except (LeaseLost, StoreUnavailable, RunStopped):
            raise
        except AgentBackendError as exc:
            await emit(SubagentFailed(code=exc.code, message=exc.detail))
            return tool_chunk("error", exc.detail)
        except Exception:
            log.exception("subagent_failed", subagent=self.name)
            await emit(SubagentFailed(code="internal-error", message="The subagent failed."))
            return tool_chunk("error", "The subagent failed.")
        await emit(SubagentFinished())
        return tool_chunk("success", answer)

    async def _run(self, task: str, emit: Emit) -> str:
        gate = ToolGate(self._stop, self._calls)
        translator = AgentEventTranslator(
            approval_schema=lambda _name: {},
            expires_at=lambda: datetime.now(UTC),
            max_result_bytes=self._max_event_bytes,
        )
        state = AgentState(session_id=self._context.thread_id)
        agent = Agent(
            name=CHILD_NAME,
            system_prompt=self._kit.profile.prompt,
            model=self._model(translator, emit),
            toolkit=RunToolkit(run_tools(self._kit.tools, (), self._context, emit=emit, asks_nobody=True)),
            middlewares=[
                GateMiddleware(gate),
                CompactionMiddleware(self._compaction_model(translator, emit), translator.announce),
                SilenceMiddleware(retries=1),
            ],
            state=state,
            context_config=self._config,
            react_config=ReActConfig(
                max_iters=self._kit.profile.max_iterations, interruption_raise_cancelled_error=True
            ),
            injection_config=InjectionConfig(inject_runtime_state=False),
        )
        await drive_agent(
            agent,
            UserMsg(name="user", content=task),
            translator,
            emit=emit,
            save=None,
            gate=gate,
            stop=self._stop,
        )
        last = state.context[-1] if state.context else None
        answer = (last.get_text_content() or "") if last is not None and last.role == "assistant" else ""
        if translator.exceeded_iterations:
            summary = answer if translator.wrote_text else ""
            raise _StoppedAtLimit(self._kit.profile.max_iterations, summary)
        if not translator.wrote_text:
            raise ModelEmpty("The subagent's model ended without an answer.")
        return answer


class _StoppedAtLimit(Exception):
    """The child used up its steps. What it wrote at the end is for the parent's model."""

    def __init__(self, steps: int, summary: str) -> None:
        self.detail = step_limit_detail("subagent", steps, summed_up=bool(summary))
        self.summary = summary
        super().__init__(self.detail)
