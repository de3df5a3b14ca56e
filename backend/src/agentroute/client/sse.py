"""Reads server-sent events from bytes, however the bytes are cut. No I/O.

Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream."""

    id: str
    """The event's own ``id``; empty without one. (An ``EventSource`` shows the id of an earlier event then.)"""
    data: str
    event: str = ""
    """Name of the event; AgentRoute names none."""


class SseParser:
    """Parses one body. Half of an event at the end of a body is no event: the server tells it again.

    Attributes:
        retry_milliseconds: How long the server asks clients to wait before they come back; ``None`` until it does.
    """

    def __init__(self) -> None:
        self.retry_milliseconds: int | None = None
        self._rest = bytearray()
        self._searched = 0
        self._at_start = True
        self._after_cr = False
        self._id = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take in the next bytes; returns the events that they complete."""
        return [frame for line in self._lines(chunk) if (frame := self._take(line)) is not None]

    def _lines(self, chunk: bytes) -> Iterator[str]:
        self._rest += chunk
        if self._at_start:
            if len(self._rest) < len(_BOM) and _BOM.startswith(self._rest):
                return
            self._at_start = False
            if self._rest.startswith(_BOM):
                del self._rest[: len(_BOM)]
        if self._after_cr and self._rest:
            self._after_cr = False
            if self._rest[0] == 0x0A:
                del self._rest[0]
        start, place = 0, self._searched
        while (end := _LINE_END.search(self._rest, place)) is not None:
            # A line feed behind it may come with the next bytes, and is the same line end.
            self._after_cr = end[0] == b"\r" and end.end() == len(self._rest)
            yield self._rest[start : end.start()].decode(errors="replace")
            start = place = end.end()
        del self._rest[:start]
        self._searched = len(self._rest)

    def _take(self, line: str) -> Frame | None:
        if not line:
            return self._dispatch()
        name, colon, value = line.partition(":")
        if colon:
            value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "event":
                self._event = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_milliseconds = int(value)
            case _:
                pass  # a comment, or what a later version of the format may bring
        return None

    def _dispatch(self) -> Frame | None:
        data, self._data = self._data, []
        id_, self._id = self._id, ""
        event, self._event = self._event, ""
        return Frame(id_, "\n".join(data), event) if data else None
