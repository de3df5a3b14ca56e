"""What one reader saw of one run: times, and everything that would be a lost, repeated or disordered event."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import orjson

_STAMPED_WORD = re.compile(r"t(\d+)=(\d+) ")
_TERMINAL = frozenset({"RUN_FINISHED", "RUN_ERROR"})


@dataclass(slots=True)
class WordTrace:
    """Fed with text in order of arrival; all times are ``time.time_ns()``.

    ``problems`` is empty exactly when the run ended and all of the model's
    words came, each once and in order. Every service can be asked for that.
    """

    expected_deltas: int
    sent_ns: int = 0
    first_event_ns: int = 0
    first_text_ns: int = 0
    """Arrival of the first text."""
    first_stamp_ns: int = 0
    """When the model emitted it."""
    ended_ns: int = 0
    events: int = 0
    text_events: int = 0
    words: int = 0
    latencies_ns: list[int] = field(default_factory=list)
    """Model to here, one per word."""
    problems: list[str] = field(default_factory=list)
    _next_word: int = 0
    _text: str = ""
    _ended: bool = False

    def take_event(self, received_ns: int) -> None:
        """Count one event of any kind."""
        if not self.events:
            self.first_event_ns = received_ns
        self.events += 1

    def end(self, received_ns: int, problem: str = "") -> None:
        """Take the event that ends the run; a problem when it ended badly."""
        self._ended, self.ended_ns = True, received_ns
        if problem:
            self.problems.append(problem)

    def finish(self) -> None:
        """Check what only the end can tell."""
        if not self._ended:
            self.problems.append(f"no terminal event after {self.events} events")
        if self._text:
            self.problems.append(f"unexpected text {self._text[:40]!r}")
        if self.words != self.expected_deltas:
            self.problems.append(f"{self.words} words of {self.expected_deltas}")

    def take_text(self, delta: str, received_ns: int) -> None:
        """Take text; a word may arrive in pieces, and several at once."""
        self.text_events += 1
        self._text += delta
        position = 0
        for match in _STAMPED_WORD.finditer(self._text):
            if match.start() != position or int(match[1]) != self._next_word:
                self.problems.append(f"word {match[0]!r} where t{self._next_word} was due")
            self._next_word, position = int(match[1]) + 1, match.end()
            self.words += 1
            self.latencies_ns.append(received_ns - int(match[2]))
            if not self.first_text_ns:
                self.first_text_ns, self.first_stamp_ns = received_ns, int(match[2])
        self._text = self._text[position:]


@dataclass(slots=True)
class RunTrace(WordTrace):
    """What our service promises besides: dense cursors from 1, ``RUN_STARTED`` first, and one end that is last."""

    _ordinal: str = ""
    _next_sequence: int = 1

    def feed(self, frame: bytes, received_ns: int) -> None:
        """Take one frame; comments and the ``retry:`` field are no events."""
        cursor = data = b""
        for line in frame.split(b"\n"):
            if line.startswith(b"data: "):
                data = line[6:]
            elif line.startswith(b"id: "):
                cursor = line[4:]
        if not data:
            return
        self.take_event(received_ns)
        self._check_cursor(cursor.decode())
        self._take(orjson.loads(data), received_ns)

    def _check_cursor(self, cursor: str) -> None:
        ordinal, _, sequence = cursor.partition("-")
        self._ordinal = self._ordinal or ordinal
        if cursor != f"{self._ordinal}-{self._next_sequence}":
            self.problems.append(f"cursor {cursor!r} where {self._ordinal}-{self._next_sequence} was due")
        # Go on from what came, so that one lost event is one problem.
        self._next_sequence = int(sequence) + 1 if sequence.isdigit() else self._next_sequence + 1

    def _take(self, event: dict[str, Any], received_ns: int) -> None:
        kind = event["type"]
        if self._ended:
            self.problems.append(f"{kind} after the terminal event")
        if (kind == "RUN_STARTED") != (self.events == 1):
            self.problems.append(f"{kind} as event {self.events}")
        if kind == "TEXT_MESSAGE_CONTENT":
            self.take_text(event["delta"], received_ns)
        elif kind in _TERMINAL:
            failed = kind == "RUN_ERROR"
            self.end(received_ns, f"RUN_ERROR {event.get('code')}: {event.get('message')}" if failed else "")
