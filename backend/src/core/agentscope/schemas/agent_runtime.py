"""The contract between the routes, the runtime and the events: commands in, events and answers out.

Plain data, no I/O. The wire forms follow AG-UI 1.0; field lists and rules are
cited where they are not obvious.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import orjson
from pydantic import ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator, model_validator

from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.internal_events import (
    InternalRuntimeEvent,
    internal_event_adapter,
)
from core.agentscope.schemas.message_ids import with_ids
from core.agentscope.schemas.messages import Id, Message, UserMessage, WireModel
from core.agentscope.schemas.tool_name import TOOL_NAME

__all__ = [
    "PROTOCOL_VERSION_PATTERN",
    "AcceptedTaskResponse",
    "ActiveRun",
    "AgUiWireEvent",
    "ClientToolDefinition",
    "ContextItem",
    "Cursor",
    "HistorySnapshotResponse",
    "InternalRuntimeEvent",
    "MessagesSnapshotMode",
    "ResumeCommand",
    "ResumeEntry",
    "RunCommand",
    "RunOptions",
    "RunStatus",
    "RunStatusResponse",
    "ThreadUsage",
    "internal_event_adapter",
    "without_nulls",
]

RunStatus = Literal["waiting", "queued", "running", "succeeded", "interrupted", "cancelled", "failed"]
"""``waiting`` stands behind a live run; the last four are ends and absorb."""

PROTOCOL_VERSION_PATTERN = r"^\d{1,4}\.\d{1,4}$"

MessagesSnapshotMode = Literal["always", "anew", "never"]
"""How a run begins: with a snapshot of the messages, with two (the first one empties the copy), or without."""


def without_nulls(data: Any) -> Any:
    """Treat null as absent: clients before 1.0 and the Dart SDK send null for absent members."""
    if isinstance(data, dict):
        return {key: value for key, value in data.items() if value is not None}
    return data


class ClientToolDefinition(WireModel):
    """A tool the client executes; the run ends and names the open calls."""

    _null_is_absent = model_validator(mode="before")(without_nulls)

    name: str = Field(pattern=f"^{TOOL_NAME}$")
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """JSON Schema of the arguments. Absent: the tool has no arguments."""


class ContextItem(WireModel):
    _null_is_absent = model_validator(mode="before")(without_nulls)

    description: str = ""
    value: str


class ResumeEntry(WireModel):
    """The answer to one open interrupt (AG-UI 1.0, ``RunAgentInput.resume``)."""

    interrupt_id: Id
    status: Literal["resolved", "cancelled"]
    payload: Any = None
    metadata: dict[str, Any] | None = None


class RunOptions(WireModel):
    """The options of this server in ``forwardedProps``; other members are ignored."""

    _null_is_absent = model_validator(mode="before")(without_nulls)

    on_busy: Literal["reject", "enqueue", "supersede"] = "reject"
    on_interrupt: Literal["refuse", "cancel"] = "refuse"
    on_disconnect: Literal["continue", "cancel"] = "continue"
    """``cancel``: the run stops if the client of its ``POST`` stream disconnects before the end."""
    regenerate_from: Id | None = None
    """A user message of the thread: the run replaces this message and everything after it.

    The run answers the new user message of the request. Without a new message, the run answers the named message, which
    then stays in history. The replaced messages are removed from history; the log keeps everything.
    """
    messages_snapshot: Literal["auto"] | MessagesSnapshotMode = "auto"
    """Whether the run begins with the thread's messages; ``auto``: if the client's copy is behind.

    ``anew``: the copy is emptied first, because the official client appends missing messages at the end
    (docs/adr/0013). ``auto`` and ``always`` do this where it is necessary.
    """
    agent_id: Id | None = None
    """The agent of the run. A thread keeps the agent of its first run; without an id, a new thread gets the default."""
    switch_agent: bool = False
    """If ``agentId`` is not the thread's agent: the thread goes on with the named one. False: 409 ``agent-fixed``."""


CLAIMS = "claims"
"""Member of a stored run's input: the kept claims of its caller's token. A ``RunCommand`` has no such member."""


class RunCommand(WireModel):
    """Body of ``POST /runs``: a superset of AG-UI's ``RunAgentInput``.

    ``threadId`` and ``runId`` are made by the server when absent. Absent
    ``tools`` and ``context`` are empty; unknown members are ignored.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "threadId": "thread-1",
                    "runId": "run-1",
                    "messages": [{"id": "m-1", "role": "user", "content": "what time is it"}],
                }
            ]
        }
    )

    thread_id: Id | None = None
    run_id: Id | None = None
    protocol_version: str | None = Field(default=None, pattern=PROTOCOL_VERSION_PATTERN)
    parent_run_id: Id | None = None
    state: Any = None
    messages: list[Message] = Field(default_factory=list)
    tools: list[ClientToolDefinition] = Field(default_factory=list)
    context: list[ContextItem] = Field(default_factory=list)
    forwarded_props: dict[str, Any] = Field(default_factory=dict)
    resume: list[ResumeEntry] = Field(default_factory=list)

    _null_is_absent = model_validator(mode="before")(without_nulls)

    @field_validator("messages", mode="wrap")
    @classmethod
    def _all_have_ids(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, list):
            return read(value)
        named, made = with_ids(value)
        messages = read(named)
        for place in made:
            if isinstance(message := messages[place], UserMessage):
                message.note_made_id()
        return messages

    def wire(self) -> dict[str, Any]:
        # The two members of any size and shape are JSON already; pydantic would look at every value in them.
        told = self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"state", "forwarded_props"}
        )
        state = {} if self.state is None else {"state": self.state}
        return told | state | {"forwardedProps": self.forwarded_props}

    def meaning(self) -> dict[str, Any]:
        """Return what tells a repeat from another request: the JSON form, without options that say what absence says."""
        defaults = RunOptions().model_dump(mode="json", by_alias=True)
        props = {
            name: value
            for name, value in self.forwarded_props.items()
            if value is not None and not (name in defaults and value == defaults[name])
        }
        return self.wire() | {"forwardedProps": props}

    def options(self) -> RunOptions:
        """Read this server's options from ``forwardedProps``.

        Raises:
            pydantic.ValidationError: A known option has an invalid value.
        """
        return RunOptions.model_validate(self.forwarded_props)


class ResumeCommand(RunCommand):
    """Body of ``POST /resume``: like ``POST /runs``, with at least one answer."""

    resume: list[ResumeEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class AgUiWireEvent:
    """One AG-UI event, ready to store: ``body`` has camelCase members and ``type`` first.

    Optional members are absent, never null. ``to_json`` is the text that is
    stored, published and replayed byte for byte.
    """

    type: str
    body: dict[str, Any]

    def to_json(self) -> str:
        return orjson.dumps(self.body).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> AgUiWireEvent:
        body = orjson.loads(text)
        return cls(type=body["type"], body=body)


class AcceptedTaskResponse(WireModel):
    """202: the run is durable. Read ``eventsUrl`` from ``cursor``."""

    task_id: str
    thread_id: str
    run_id: str
    status: RunStatus
    events_url: str
    history_url: str
    cursor: str | None = None
    """The cursor before the run's first event; absent while the run waits behind another run."""


class ActiveRun(WireModel):
    run_id: str
    status: RunStatus
    events_url: str


class ThreadUsage(WireModel):
    """Totals over all model calls of the thread."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    """Sum of the known costs; absent if no cost is known."""
    cost_complete: bool = True
    """False when the cost of at least one call is unknown."""
    currency: str = "USD"


class HistorySnapshotResponse(WireModel):
    """One consistent read of a thread: ``messages`` is what a client that saw every event holds.

    ``cursor`` belongs to the same read, so following ``/events`` from it shows
    every later event once.
    """

    thread_id: str
    agent_id: str | None = None
    """The thread's agent: of its next run, unless that run switches."""
    title: str | None = None
    messages: list[dict[str, Any]]
    state: Any = None
    pending_interrupts: list[dict[str, Any]]
    active_run: ActiveRun | None = None
    cursor: str
    has_more: bool = False
    next_before: str | None = None
    usage: ThreadUsage

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; here ``null`` says "none", as in ``activeRun``."""
        return self.model_dump(mode="json", by_alias=True)


class RunStatusResponse(WireModel):
    """One run: status, timings, usage, cost, and why it waits."""

    thread_id: str
    run_id: str
    task_id: str
    agent_id: str | None = None
    """The agent that executes the run."""
    status: RunStatus
    waits_for: Literal["worker", "approval", "client-tool", "earlier-run"] | None = None
    attempt: int
    error_code: str | None = None
    cancel_requested: bool = False
    created_at: datetime
    started_at: datetime | None = None
    first_token_at: datetime | None = None
    ended_at: datetime | None = None
    queue_ms: int | None = None
    ttft_ms: int | None = None
    total_ms: int | None = None
    model_ms: int = 0
    """Sum over the run's model calls."""
    tool_ms: int = 0
    """Sum over its tool calls, known at its end."""
    usage: ThreadUsage
    events_url: str
