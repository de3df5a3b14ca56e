"""Opens again what a run's stream has open, for a client that connects in the middle. Pure.

An open text, reasoning or tool call is told as the stored event that opened it, then as one delta with everything so
far. The snapshot of messages that comes before has it in its place, but empty. The stages of the run that have ended
are told before all that: nothing else says how far the run has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from core.agentscope.events.event_types import EVENT_TYPES

_DELTAS: Final = {
    "text": "TEXT_MESSAGE_CONTENT",
    "reasoning": "REASONING_MESSAGE_CONTENT",
    "tool_call": "TOOL_CALL_ARGS",
}
"""What continues an open thing."""

_SPANS: Final = {"REASONING_START": True, "REASONING_END": False}
"""A reasoning's span and the message in it share an id, so ``event_types`` counts only the message as open."""

_MAX_STAGES: Final = 50
"""Code of users may name any number of steps; the newest are told."""

STRUCTURE_TYPES: Final = sorted(
    {name for name, row in EVENT_TYPES.items() if row.opens or row.closes or row.terminal}
    | {"RUN_STARTED", *_SPANS}
)
"""The types that say what is open; nothing else of a log need be read for it."""

Said = dict[tuple[str, str], str]
"""The text so far of ``("text", id)`` or ``("reasoning", id)``, the arguments so far of ``("tool_call", id)``."""


class RunStructure:
    """What the events of ``STRUCTURE_TYPES`` of a run add up to, taken in one after the other.

    The subagents of the run are complete, with their ends: a later one may name them as its parents.
    """

    def __init__(self) -> None:
        self.first: bytes | None = None
        """The first event."""
        self.last: bytes | None = None
        """The newest event."""
        self.open: dict[tuple[str, ...], bytes] = {}
        """What is open, oldest first: the kind of thing and its id, and the event that opened it."""
        self.stages: dict[str, tuple[bytes, bytes]] = {}
        """The steps of the run itself that have ended, oldest first: by name, the events of their start and end."""

    def extend(self, payloads: Iterable[bytes]) -> None:
        """Take in the events that come next."""
        for payload in payloads:
            self.first = self.first or payload
            self.last = payload
            self._take(payload)

    def _take(self, payload: bytes) -> None:
        body: dict[str, Any] = orjson.loads(payload)
        type_ = body["type"]
        if (row := EVENT_TYPES.get(type_)) is None:
            return
        if row.opens == "subagent" or row.closes == "subagent":
            self.open[type_, body["subagentRunId"]] = payload
        elif row.opens or _SPANS.get(type_) is True:
            self.open[row.opens or "span", *_key(body, row.item_of(body))] = payload
        elif row.closes or type_ in _SPANS:
            start = self.open.pop((row.closes or "span", *_key(body, row.item_of(body))), None)
            # A step of a subagent is work within a stage.
            if type_ == "STEP_FINISHED" and start is not None and "subagentRunId" not in body:
                self._end_stage(body["stepName"], start, payload)

    def _end_stage(self, name: str, start: bytes, end: bytes) -> None:
        self.stages.pop(name, None)
        self.stages[name] = (start, end)
        if len(self.stages) > _MAX_STAGES:
            del self.stages[next(iter(self.stages))]


def reopened(
    structure: RunStructure, said: Mapping[tuple[str, str], str], timestamp_ms: int
) -> tuple[bytes, ...]:
    """Return the events that tell the ended stages of a run, and open again what is open in it.

    Args:
        structure: The run, up to the cursor.
        said: What ``emptied`` took out of the messages.
        timestamp_ms: Time of the deltas.
    """
    # In front: the ids of an opening count from its end, and processes of the version before tell no stages.
    events: list[bytes] = [event for stage in structure.stages.values() for event in stage]
    for (thing, item, *_), payload in structure.open.items():
        events.append(payload)
        if text := said.get((thing, item)):
            events.append(_delta(thing, orjson.loads(payload), text, timestamp_ms))
    return tuple(events)


def emptied(messages: Iterable[dict[str, Any]], structure: RunStructure) -> tuple[list[dict[str, Any]], Said]:
    """Return the messages with what is open emptied, and what was taken out."""
    still_open = {(thing, item) for thing, item, *_ in structure.open if thing in _DELTAS}
    said: Said = {}
    return [_emptied(message, still_open, said) for message in messages], said


def _emptied(message: dict[str, Any], still_open: set[tuple[str, str]], said: Said) -> dict[str, Any]:
    for thing in ("text", "reasoning"):
        if (place := (thing, message["id"])) in still_open and message.get("content"):
            said[place] = message["content"]
            message = message | {"content": ""}
    calls: list[dict[str, Any]] = message.get("toolCalls", [])
    if any(("tool_call", call["id"]) in still_open for call in calls):
        message = message | {"toolCalls": [_emptied_call(call, still_open, said) for call in calls]}
    return message


def _emptied_call(call: dict[str, Any], still_open: set[tuple[str, str]], said: Said) -> dict[str, Any]:
    if (place := ("tool_call", call["id"])) not in still_open:
        return call
    said[place] = call["function"]["arguments"]
    return call | {"function": call["function"] | {"arguments": ""}}


def _delta(thing: str, start: dict[str, Any], text: str, timestamp_ms: int) -> bytes:
    type_ = _DELTAS[thing]
    members = {name: start[name] for name in (EVENT_TYPES[type_].item, "subagentRunId") if name in start}
    return orjson.dumps({"type": type_, **members, "delta": text, "timestamp": timestamp_ms})


def _key(body: dict[str, Any], item: str) -> tuple[str, ...]:
    # Two speakers may be in steps of one name; every other item has an id of its own.
    return (item, body.get("subagentRunId", "")) if "stepName" in body else (item,)
