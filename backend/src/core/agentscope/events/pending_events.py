"""The events of one run that wait for the next flush: merged, counted in bytes of their stored form, cut into flushes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from core.agentscope.events.event_types import EVENT_TYPES
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.errors import OutputNotStorable, OutputTooLarge

MAX_MERGED_CHARS = 4096
MAX_DELTA_CHARS = 64 << 10
"""A longer delta becomes several: deltas are never too large to be stored."""


@dataclass(slots=True)
class _Waiting:
    event: AgUiWireEvent
    size: int
    """Bytes of the stored form."""


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event as it is stored."""

    type: str
    payload: str
    size: int
    """Bytes of ``payload``."""


class PendingEvents:
    """The waiting events, oldest first.

    Args:
        max_event_bytes: Maximum size of one event.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self.size = 0
        """Bytes of all waiting events, as they will be stored."""
        self._max_event_bytes = max_event_bytes
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: AgUiWireEvent) -> int:
        """Take in an event; returns by how many bytes the log grows.

        Raises:
            OutputTooLarge: The event is larger than an event may be. Nothing was taken in.
            OutputNotStorable: The event has no JSON form. Nothing was taken in.
        """
        before = self.size
        for piece in _pieces(event):
            if not self._merge(piece):
                size = _size(piece.type, piece.body)
                if size > self._max_event_bytes:
                    limit = self._max_event_bytes
                    raise OutputTooLarge(f"A {piece.type} event has {size} bytes; the limit is {limit}.")
                self._waiting.append(_Waiting(piece, size))
                self.size += size
        return self.size - before

    def take(self, max_bytes: int, *, at_least_one: bool) -> list[EncodedEvent]:
        """Take out the oldest events, encoded: as many as fit into ``max_bytes``.

        Args:
            max_bytes: Size of all of them together.
            at_least_one: Take the first one even if it does not fit.
        """
        taken: list[EncodedEvent] = []
        room = max_bytes
        for waiting in self._waiting:
            if waiting.size > room and (taken or not at_least_one):
                break
            room -= waiting.size
            self.size -= waiting.size
            taken.append(EncodedEvent(waiting.event.type, waiting.event.to_json(), waiting.size))
        del self._waiting[: len(taken)]
        return taken

    def drain(self) -> list[AgUiWireEvent]:
        """Take out everything."""
        events = [waiting.event for waiting in self._waiting]
        self._waiting, self.size = [], 0
        return events

    def _merge(self, event: AgUiWireEvent) -> bool:
        row = EVENT_TYPES[event.type]
        if not row.growing or not self._waiting:
            return False
        last = self._waiting[-1]
        body = last.event.body
        if last.event.type != event.type or row.item_of(body) != row.item_of(event.body):
            return False
        if len(body["delta"]) > MAX_MERGED_CHARS:
            return False
        delta: str = event.body["delta"]
        # Without the two quotation marks.
        grown = _size(event.type, delta) - 2
        body["delta"] += delta
        last.size += grown
        self.size += grown
        return True


def _pieces(event: AgUiWireEvent) -> Iterator[AgUiWireEvent]:
    delta = event.body.get("delta")
    if not EVENT_TYPES[event.type].growing or not isinstance(delta, str) or len(delta) <= MAX_DELTA_CHARS:
        yield event
        return
    for start in range(0, len(delta), MAX_DELTA_CHARS):
        yield AgUiWireEvent(event.type, {**event.body, "delta": delta[start : start + MAX_DELTA_CHARS]})


def _size(kind: str, value: object) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError as exc:
        raise OutputNotStorable(f"A {kind} event holds a value that has no JSON form.") from exc
