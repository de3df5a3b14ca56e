"""Serves streams that rest: they have no task and no timer of their own.

A stream is served when something happened in its thread, and when its alarm is due. One timer serves all alarms: an
alarm is put into a slot of time, and a slot is served as a whole. Streams are served a few at a time, so that a crowd
does not hold up the others. See docs/adr/0037.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

import structlog

log = structlog.get_logger(__name__)

_SLOTS = 16
"""Slots in the time of a heartbeat: a heartbeat comes early by a slot at most."""
_ROUND = 100
"""Streams that are served before others have their turn: each costs some microseconds, and a system call."""


class Served(Protocol):
    """A stream that rests."""

    def serve(self, now: float) -> None:
        """Send what there is to send. Called also without a reason, and once more after the stream has gone on."""
        ...


class Rounds:
    """The streams of a process that rest.

    Args:
        longest_seconds: The longest time until an alarm.
    """

    def __init__(self, longest_seconds: float) -> None:
        self.slot_seconds = longest_seconds / _SLOTS
        self._slots: dict[int, list[Served]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0
        """The slot of the timer."""
        self._due: dict[Served, None] = {}
        self._round: asyncio.Handle | None = None
        self.shared: dict[Any, Any] = {}
        """What streams have made in this round for the others of their thread."""

    def serve(self, streams: Iterable[Served]) -> None:
        """Serve streams soon. What happens to them meanwhile is served at once."""
        self._due.update(dict.fromkeys(streams))
        if self._round is None:
            self._round = asyncio.get_running_loop().call_soon(self._serve_some)

    def set_alarm(self, stream: Served, at: float) -> float:
        """Serve a stream again at a time, or up to a slot before. Returns when the stream is served."""
        loop = asyncio.get_running_loop()
        # Rounded: a timer may fire a moment before its time, and its slot is served already.
        slot = max(int(at / self.slot_seconds), round(loop.time() / self.slot_seconds) + 1)
        self._slots.setdefault(slot, []).append(stream)
        if self._timer is None or slot < self._next:
            self._start_timer(loop, slot)
        return slot * self.slot_seconds

    def _start_timer(self, loop: asyncio.AbstractEventLoop, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = slot
        self._timer = loop.call_at(slot * self.slot_seconds, self._alarm)

    def _alarm(self) -> None:
        self._timer = None
        if streams := self._slots.pop(self._next, None):
            self.serve(streams)
        if self._slots:
            self._start_timer(asyncio.get_running_loop(), min(self._slots))

    def _serve_some(self) -> None:
        loop = asyncio.get_running_loop()
        self._round = None
        due, now = self._due, loop.time()
        for _ in range(min(_ROUND, len(due))):
            stream = next(iter(due))
            del due[stream]
            try:
                stream.serve(now)
            except Exception:
                log.exception("stream_not_served")
        self.shared.clear()
        if due:
            self._round = loop.call_soon(self._serve_some)
