"""Everything that a chat screen shows of one thread, the mirror of the Flutter app's ``domain/chat_state.dart``.

A state never changes: ``chat_reducer.py`` makes the next one. What the app says of each field holds here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentroute.client.wire_form import wire_name

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the newest run."""

    name: str
    is_open: bool = True
    subagent_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class SubagentRun:
    """A subagent of the newest run."""

    id: str
    name: str
    parent_tool_call_id: str | None = None
    status: str = "running"


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why the newest run failed."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ChatState:
    """The state of one thread."""

    thread_id: str | None = None
    run_id: str | None = None
    cursor: str | None = None
    status: str = "idle"
    stages: list[Stage] = field(default_factory=list)
    messages: list[Json] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    interrupts: list[Json] = field(default_factory=list)
    pending_tool_call_ids: list[str] = field(default_factory=list)
    shared_state: Any = None
    error: RunFailure | None = None
    usage: list[Mapping[str, Any]] = field(default_factory=list)
    retrying: Json | None = None
    progress: dict[str, Json] = field(default_factory=dict)
    subagents: list[SubagentRun] = field(default_factory=list)
    sources: list[Json] = field(default_factory=list)
    media: list[Json] = field(default_factory=list)
    next_before: str | None = None
    is_incomplete: bool = False
    input_run_id: str | None = None
    suggestions: list[str] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return self.status == "running"

    def message(self, message_id: str) -> Json | None:
        return next((message for message in self.messages if message["id"] == message_id), None)

    def tool_call(self, call_id: str) -> Json | None:
        return next((call for call in self.calls if call["id"] == call_id), None)

    @property
    def calls(self) -> Iterator[Json]:
        """All calls of all messages."""
        return (call for message in self.messages for call in message.get("toolCalls", []))

    def result_of(self, call_id: str) -> Json | None:
        results = (message for message in self.messages if message["role"] == "tool")
        return next((message for message in results if message["toolCallId"] == call_id), None)

    def interrupt_of(self, call_id: str) -> Json | None:
        return next((each for each in self.interrupts if each.get("toolCallId") == call_id), None)

    def call_status(self, call_id: str) -> str:
        """Return how a call is. The first line that fits decides."""
        result = self.result_of(call_id)
        if result is not None:
            return _status_of(result)
        if call_id in self.open:
            return "writing"
        if self.interrupt_of(call_id) is not None:
            return "asking"
        if call_id in self.pending_tool_call_ids:
            return "waiting"
        return "running" if self.is_running else "stopped"

    def to_json(self) -> Json:
        """Return the form in which ``contract/`` has states."""
        return {
            "threadId": self.thread_id,
            "runId": self.run_id,
            "cursor": self.cursor,
            "status": self.status,
            "stages": [_members(stage) for stage in self.stages],
            "messages": self.messages,
            "open": self.open,
            "calls": {call["id"]: self.call_status(call["id"]) for call in self.calls},
            "interrupts": self.interrupts,
            "pendingToolCallIds": self.pending_tool_call_ids,
            "sharedState": self.shared_state,
            "error": None if self.error is None else _members(self.error),
            "usage": [_usage_json(each) for each in self.usage],
            "retrying": None if self.retrying is None else self.retrying.get("attempt", 0),
            "progress": {call_id: value.get("message") for call_id, value in self.progress.items()},
            "subagents": [_members(subagent) for subagent in self.subagents],
            "sources": [each.get("query", "") for each in self.sources],
            "media": [each["mediaType"] for each in self.media],
            "nextBefore": self.next_before,
            "isIncomplete": self.is_incomplete,
            "inputRunId": self.input_run_id,
        }


def _status_of(result: Json) -> str:
    if result.get("error") is not None:
        return "failed"
    match result.get("metadata", {}).get("state"):
        case None | "success":
            return "done"
        case "denied":
            return "denied"
        case "interrupted":
            return "stopped"
        case _:
            return "failed"


def _usage_json(usage: Mapping[str, Any]) -> Json:
    tokens = {name: usage.get(name, 0) for name in ("inputTokens", "outputTokens")}
    return {"model": usage.get("model"), **tokens}


def _members(value: Stage | SubagentRun | RunFailure) -> Json:
    return {wire_name(name): getattr(value, name) for name in value.__dataclass_fields__}
