"""The events that the reducer of the Flutter app knows, for its mirror in Python (``chat_reducer.py``).

They are the events of ``agentroute.client``, and those that this service never sends but other AG-UI servers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentroute.client.events import Event, UnknownEvent, read_event
from agentroute.client.wire_form import WireFormError, read


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMessageChunkEvent(Event):
    """A piece of a message, without a start and an end of its own."""

    message_id: str | None = None
    role: str | None = None
    delta: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningMessageChunkEvent(Event):
    """A piece of reasoning, without a start and an end of its own."""

    message_id: str | None = None
    delta: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallChunkEvent(Event):
    """A piece of a call, without a start and an end of its own."""

    tool_call_id: str | None = None
    tool_call_name: str | None = None
    parent_message_id: str | None = None
    delta: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivitySnapshotEvent(Event):
    """A message for the interface alone."""

    message_id: str
    activity_type: str
    content: Mapping[str, Any]
    replace: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityDeltaEvent(Event):
    """A change of such a message: operations of JSON Patch (RFC 6902)."""

    message_id: str
    activity_type: str
    patch: tuple[Mapping[str, Any], ...]


_MORE: dict[str, type[Event]] = {
    "TEXT_MESSAGE_CHUNK": TextMessageChunkEvent,
    "REASONING_MESSAGE_CHUNK": ReasoningMessageChunkEvent,
    "TOOL_CALL_CHUNK": ToolCallChunkEvent,
    "ACTIVITY_SNAPSHOT": ActivitySnapshotEvent,
    "ACTIVITY_DELTA": ActivityDeltaEvent,
}


def read_chat_event(body: Mapping[str, Any]) -> Event:
    """Return an event of its JSON. What is not known, and what is broken, becomes an ``UnknownEvent``."""
    if (kind := _MORE.get(body["type"])) is None:
        return read_event(body)
    try:
        return read(kind, body, raw=body)
    except WireFormError:
        return UnknownEvent(type=body["type"], raw=body)
