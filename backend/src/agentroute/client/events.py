"""The events of AG-UI 1.0 as dataclasses: one class a type, named as in ``ag_ui.core``, with the same fields.

They are not the classes of ``ag_ui.core``: importing those takes longer than everything else here together, and they
refuse what a later version of the protocol may bring. ``event.raw`` is what ``ag_ui.core`` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentroute.client.wire_form import WireFormError, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a stream."""

    type: str
    """As AG-UI names it, for example ``TEXT_MESSAGE_CONTENT``."""
    timestamp: int | None = None
    """Milliseconds since 1970."""
    subagent_run_id: str | None = None
    """The subagent from which the event comes; ``None`` for the agent itself."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """At the end of a message: its model, tokens, cost and times. At a tool's result: how the call went."""
    cursor: str | None = field(default=None, compare=False)
    """The place of the event: ``events(cursor=…)`` goes on after it. ``None`` if it is in no log (``agentroute.input``)."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The event as JSON, with all its members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Event):
    """An event of a type that this version does not know, or in a form that it does not know. See ``raw``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """A question that a run ended with. ``resume()`` answers it."""

    id: str
    reason: str
    """``tool_approval``, ``connection_required``, ``budget_exhausted``, or a reason of your agent."""
    message: str = ""
    """The question, for the user."""
    tool_call_id: str | None = None
    response_schema: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema of the answer."""
    expires_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_editable(self) -> bool:
        """Whether the answer may have other arguments for the call (``approve(interrupt, arguments)``)."""
        properties = self.response_schema.get("properties")
        return isinstance(properties, Mapping) and "input" in properties


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended that did not fail."""

    type: str = "success"
    """``success``, ``interrupt`` or ``cancelled``."""
    interrupts: tuple[Interrupt, ...] = ()
    """With ``interrupt``: the open questions."""
    pending_tool_call_ids: tuple[str, ...] = ()
    """With ``success``: calls of your own tools that wait for their results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStartedEvent(Event):
    """The first event of a run."""

    thread_id: str
    run_id: str
    parent_run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinishedEvent(Event):
    """The last event of a run that did not fail."""

    thread_id: str
    run_id: str
    outcome: Outcome = Outcome()
    usage: tuple[Mapping[str, Any], ...] = ()
    """Tokens by provider and model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunErrorEvent(Event):
    """The last event of a run that failed."""

    message: str
    code: str = "internal-error"
    usage: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStartedEvent(Event):
    """A stage begins: ``intent``, ``execution`` or ``report``, or a step of your agent."""

    step_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinishedEvent(Event):
    """A stage ends."""

    step_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMessageStartEvent(Event):
    """A message begins. Of a message that is there already, after ``connect``: it goes on."""

    message_id: str
    role: str = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMessageContentEvent(Event):
    """A piece of text."""

    message_id: str
    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMessageEndEvent(Event):
    """A message is complete. ``metadata`` has its model, tokens, cost and times."""

    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningStartEvent(Event):
    """The model begins to think."""

    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningMessageStartEvent(Event):
    """A message of reasoning begins."""

    message_id: str
    role: str = "reasoning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningMessageContentEvent(Event):
    """A piece of reasoning."""

    message_id: str
    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningMessageEndEvent(Event):
    """A message of reasoning is complete."""

    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningEndEvent(Event):
    """The model has finished thinking."""

    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningEncryptedValueEvent(Event):
    """Reasoning that only its provider can read."""

    subtype: str
    """``message`` or ``tool-call``: what ``entity_id`` names."""
    entity_id: str
    encrypted_value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStartEvent(Event):
    """The model begins to write a tool call."""

    tool_call_id: str
    tool_call_name: str
    parent_message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallArgsEvent(Event):
    """A piece of the arguments, which are JSON text."""

    tool_call_id: str
    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallEndEvent(Event):
    """The arguments are complete."""

    tool_call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallResultEvent(Event):
    """What a tool answered."""

    message_id: str
    tool_call_id: str
    content: Any
    """A text; a list of parts from a tool that answers with images or files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSnapshotEvent(Event):
    """The whole shared state."""

    snapshot: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDeltaEvent(Event):
    """A change of the shared state: operations of JSON Patch (RFC 6902)."""

    delta: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesSnapshotEvent(Event):
    """The messages of the thread, oldest first. They replace those that you hold."""

    messages: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubagentStartedEvent(Event):
    """A tool call was handed to a subagent. Its events have its ``subagent_run_id``."""

    name: str = ""
    description: str | None = None
    parent_tool_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubagentFinishedEvent(Event):
    """A subagent has answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubagentErrorEvent(Event):
    """A subagent ended without an answer."""

    message: str = ""
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomEvent(Event):
    """Anything else. AgentRoute's own have names that begin with ``agentroute.``."""

    name: str
    value: Any = None


_KINDS: dict[str, type[Event]] = {
    "RUN_STARTED": RunStartedEvent,
    "RUN_FINISHED": RunFinishedEvent,
    "RUN_ERROR": RunErrorEvent,
    "STEP_STARTED": StepStartedEvent,
    "STEP_FINISHED": StepFinishedEvent,
    "TEXT_MESSAGE_START": TextMessageStartEvent,
    "TEXT_MESSAGE_CONTENT": TextMessageContentEvent,
    "TEXT_MESSAGE_END": TextMessageEndEvent,
    "REASONING_START": ReasoningStartEvent,
    "REASONING_MESSAGE_START": ReasoningMessageStartEvent,
    "REASONING_MESSAGE_CONTENT": ReasoningMessageContentEvent,
    "REASONING_MESSAGE_END": ReasoningMessageEndEvent,
    "REASONING_END": ReasoningEndEvent,
    "REASONING_ENCRYPTED_VALUE": ReasoningEncryptedValueEvent,
    "TOOL_CALL_START": ToolCallStartEvent,
    "TOOL_CALL_ARGS": ToolCallArgsEvent,
    "TOOL_CALL_END": ToolCallEndEvent,
    "TOOL_CALL_RESULT": ToolCallResultEvent,
    "STATE_SNAPSHOT": StateSnapshotEvent,
    "STATE_DELTA": StateDeltaEvent,
    "MESSAGES_SNAPSHOT": MessagesSnapshotEvent,
    "SUBAGENT_STARTED": SubagentStartedEvent,
    "SUBAGENT_FINISHED": SubagentFinishedEvent,
    "SUBAGENT_ERROR": SubagentErrorEvent,
    "CUSTOM": CustomEvent,
}
TERMINAL_TYPES = frozenset({"RUN_FINISHED", "RUN_ERROR"})
"""The types of a run's last event."""


def read_event(body: Any, cursor: str | None = None) -> Event:
    """Return an event of its JSON. What is not known becomes an ``UnknownEvent``, whose ``raw`` has everything.

    Raises:
        WireFormError: It is no event: no object, or without a type.
    """
    if not isinstance(body, dict) or not isinstance(type_ := body.get("type"), str):
        raise WireFormError("an event is an object with a type")
    kind = _KINDS.get(type_)
    if kind is not None:
        try:
            return read(kind, body, cursor=cursor, raw=body)
        except WireFormError:
            # A member has another form than today. Whoever shows it raw still can.
            pass
    return UnknownEvent(type=type_, cursor=cursor, raw=body)
