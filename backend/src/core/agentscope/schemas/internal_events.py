"""The events that the runtime reports, independent of any protocol: ``InternalRuntimeEvent``.

The orchestrator emits these and nothing else; ``events/agui_codec.py`` is the
only place that turns them into AG-UI. Plain data, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter

StageName = Literal["intent", "execution", "report"]
CallStage = StageName | Literal["title", "compaction"]
"""The purpose of a model call in the ledger: a stage of its run, the thread's title, or ``compaction`` (a summary)."""
ToolState = Literal["success", "error", "denied", "interrupted"]
RunOutcome = Literal["success", "interrupt", "cancelled"]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    durable_first: ClassVar[bool] = False
    """The runtime acts on it, so it is committed before ``emit`` returns."""


class AttributedEvent(_Event):
    """An event that may come from a subagent."""

    subagent_run_id: str | None = None
    """The subagent from which the event comes; ``None`` for the agent itself."""


class RunStarted(_Event):
    kind: Literal["run_started"] = "run_started"
    thread_id: str
    run_id: str
    parent_run_id: str | None = None


class RunFinished(_Event):
    """The run ended in order. With ``interrupt`` the collected ``InterruptRequested`` are its reasons."""

    kind: Literal["run_finished"] = "run_finished"
    outcome: RunOutcome = "success"
    pending_tool_call_ids: tuple[str, ...] = ()
    """Calls of client tools that wait for the client."""


class RunFailed(_Event):
    """The run ended by a failure; ``code`` and ``message`` are safe to show."""

    kind: Literal["run_failed"] = "run_failed"
    code: str
    message: str


class StepStarted(AttributedEvent):
    kind: Literal["step_started"] = "step_started"
    name: str


class StepFinished(AttributedEvent):
    kind: Literal["step_finished"] = "step_finished"
    name: str


class TextStarted(AttributedEvent):
    kind: Literal["text_started"] = "text_started"
    message_id: str


class TextDelta(AttributedEvent):
    kind: Literal["text_delta"] = "text_delta"
    message_id: str
    delta: str


class TextEnded(AttributedEvent):
    kind: Literal["text_ended"] = "text_ended"
    message_id: str
    metadata: dict[str, Any] | None = None
    """The metadata of the assistant message: model, tokens, cost, latency."""


class ReasoningStarted(AttributedEvent):
    kind: Literal["reasoning_started"] = "reasoning_started"
    message_id: str


class ReasoningDelta(AttributedEvent):
    kind: Literal["reasoning_delta"] = "reasoning_delta"
    message_id: str
    delta: str


class ReasoningEnded(AttributedEvent):
    kind: Literal["reasoning_ended"] = "reasoning_ended"
    message_id: str


class ReasoningEncrypted(AttributedEvent):
    """Data that the provider needs again with later requests: encrypted reasoning, or a signature of reasoning."""

    kind: Literal["reasoning_encrypted"] = "reasoning_encrypted"
    subtype: Literal["message", "tool-call"]
    entity_id: str
    """The message or the tool call it came with."""
    value: str
    """JSON text of the members that the provider sent. Only the provider can use them."""


class ToolCallStarted(AttributedEvent):
    kind: Literal["tool_call_started"] = "tool_call_started"
    tool_call_id: str
    name: str
    parent_message_id: str | None = None


class ToolCallArguments(AttributedEvent):
    kind: Literal["tool_call_arguments"] = "tool_call_arguments"
    tool_call_id: str
    delta: str


class ToolCallEnded(AttributedEvent):
    durable_first: ClassVar[bool] = True

    kind: Literal["tool_call_ended"] = "tool_call_ended"
    tool_call_id: str


class ToolResult(AttributedEvent):
    durable_first: ClassVar[bool] = True

    kind: Literal["tool_result"] = "tool_result"
    message_id: str
    tool_call_id: str
    content: str
    state: ToolState = "success"
    duration_ms: int | None = None
    """How long the tool took; absent when none ran."""


class InterruptRequested(_Event):
    """The user must decide: about a tool call or, without one, about the run itself.

    The stored call is the one that will run.
    """

    kind: Literal["interrupt_requested"] = "interrupt_requested"
    interrupt_id: str
    reason: str
    message: str
    tool_call_id: str | None = None
    tool_name: str | None = None
    arguments: str | None = None
    """JSON text, as the model wrote it."""
    response_schema: dict[str, Any]
    expires_at: datetime
    metadata: dict[str, Any] | None = None
    """What an application needs to know beside the text, such as where the user logs in."""


class StateSnapshot(AttributedEvent):
    kind: Literal["state_snapshot"] = "state_snapshot"
    snapshot: Any


class StateDelta(AttributedEvent):
    kind: Literal["state_delta"] = "state_delta"
    delta: list[dict[str, Any]]
    """RFC 6902 operations."""


class SubagentStarted(AttributedEvent):
    """A tool call handed its task to a child agent; its events carry this event's ``subagent_run_id``."""

    kind: Literal["subagent_started"] = "subagent_started"
    name: str
    description: str | None = None
    parent_tool_call_id: str | None = None


class SubagentFinished(AttributedEvent):
    kind: Literal["subagent_finished"] = "subagent_finished"


class SubagentFailed(AttributedEvent):
    """The child agent ended without an answer; ``code`` and ``message`` are safe to show."""

    kind: Literal["subagent_failed"] = "subagent_failed"
    code: str
    message: str


class MessagesSnapshot(_Event):
    """The thread's messages as they stand, for a client whose own copy is behind."""

    kind: Literal["messages_snapshot"] = "messages_snapshot"
    messages: tuple[dict[str, Any], ...]
    """AG-UI messages, oldest first."""


class ModelRetrying(AttributedEvent):
    """A model call failed before its first delta. It is made again after a wait, perhaps by the fallback."""

    kind: Literal["model_retrying"] = "model_retrying"
    attempt: int
    """Number of the try that follows: 2 for the first retry."""
    delay_ms: int
    code: str
    """The error code of the try that failed."""


class ToolProgress(AttributedEvent):
    """A running tool says how far it is."""

    kind: Literal["tool_progress"] = "tool_progress"
    tool_call_id: str
    message: str = ""
    progress: float | None = None
    total: float | None = None


class CustomEvent(AttributedEvent):
    kind: Literal["custom"] = "custom"
    name: str
    value: Any


class ModelUsage(_Event):
    """One model call with any outcome. Not an AG-UI event: it goes to the ledger and into the terminal ``usage``."""

    kind: Literal["usage"] = "usage"
    call_id: str
    stage: CallStage
    provider: str
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    """Includes the reasoning tokens."""
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    """The provider reported no usage (a cut or cancelled call): tokens are counted from bytes."""
    cost: Decimal | None = None
    """``None`` is unknown, never free."""
    currency: str = "USD"
    cost_source: Literal["stream", "header", "price-table", "unknown"] = "unknown"
    latency_ms: int = 0
    ttft_ms: int | None = None
    """From the request to the first delta; absent when none came."""
    finish_reason: str | None = None
    """The value of the provider: stop, length, tool_calls, content_filter."""
    outcome: Literal["completed", "cancelled", "failed", "lost"] = "completed"
    """``lost``: the placeholder of a call that has begun; it stays if the worker dies."""
    message_id: str | None = None
    """The assistant message this call wrote."""
    _contents: dict[str, str] = PrivateAttr(default_factory=dict[str, str])

    def keep_contents(self, attributes: Mapping[str, str]) -> None:
        """Keep what was said in the call for its span. It is no part of the line, and stored nowhere."""
        self._contents.update(attributes)

    def take_contents(self) -> dict[str, str]:
        """Return what was kept, and forget it."""
        contents = dict(self._contents)
        self._contents.clear()
        return contents


InternalRuntimeEvent = Annotated[
    RunStarted
    | RunFinished
    | RunFailed
    | StepStarted
    | StepFinished
    | TextStarted
    | TextDelta
    | TextEnded
    | ReasoningStarted
    | ReasoningDelta
    | ReasoningEnded
    | ReasoningEncrypted
    | ToolCallStarted
    | ToolCallArguments
    | ToolCallEnded
    | ToolResult
    | InterruptRequested
    | StateSnapshot
    | StateDelta
    | MessagesSnapshot
    | SubagentStarted
    | SubagentFinished
    | SubagentFailed
    | ModelRetrying
    | ToolProgress
    | CustomEvent
    | ModelUsage,
    Field(discriminator="kind"),
]

internal_event_adapter: TypeAdapter[InternalRuntimeEvent] = TypeAdapter(InternalRuntimeEvent)
