"""Orders the deltas of a completion so that every block is opened once and closed once.

Pure. AgentScope ends a block when a delta of another block arrives, and starts it again under the same id when it
continues. Providers may interleave parallel tool calls. So:

1. Deltas come out in the order they came in, except that all others wait while a tool call is open.
2. A tool call is open from its first delta until its arguments are a complete JSON object, or the stream ends.
3. Deltas that waited follow in the order they came in.
4. A tool call waits for its name. A call that never gets a name is called ``unknown``.
5. Tool call ids come out unique and valid on the wire. Invalid, missing and repeated ids are replaced.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import orjson

DeltaKind = Literal["text", "thinking", "tool_call"]

# What the wire contract accepts as an id.
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


class ToolCallOverrun(ValueError):
    """A tool call continued after its arguments were complete and another block had begun."""


@dataclass(slots=True, eq=False)
class ToolCall:
    """A tool call being written."""

    id: str
    name: str = ""
    wire_id: str | None = None
    """The id the provider gave it."""
    held: str = ""
    """Arguments that came before the name."""
    shown: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    """All pieces of the arguments, shown or waiting."""
    closed: bool = False
    tested: int = 0
    """How many pieces the last test for completeness saw, so that the same text is not parsed twice."""

    def whole(self) -> bool:
        """Whether the arguments so far are a complete JSON object, which no further piece can continue."""
        if len(self.shown) == self.tested or not self.shown[-1].rstrip().endswith("}"):
            return False
        self.tested = len(self.shown)
        try:
            return isinstance(orjson.loads("".join(self.shown)), dict)
        except orjson.JSONDecodeError:
            return False


@dataclass(slots=True)
class Delta:
    """A piece of one block; ``text`` is a tool call's arguments when ``call`` is set."""

    kind: DeltaKind
    text: str
    call: ToolCall | None = None


def random_id() -> str:
    """Return a new tool call id."""
    return f"call_{uuid.uuid4().hex}"


class BlockOrder:
    """Takes deltas as the provider sent them and returns them in order."""

    def __init__(self, taken_ids: Iterable[str] = (), new_id: Callable[[], str] = random_id) -> None:
        """Start a completion.

        Args:
            taken_ids: Tool call ids of the conversation so far. Some servers count from ``call_0`` again in
                every completion; a second use would give one call the result of another.
            new_id: Makes replacement ids.
        """
        self._taken = set(taken_ids)
        self._new_id = new_id
        self._calls: list[ToolCall] = []
        self._by_index: dict[int, ToolCall] = {}
        self._open: ToolCall | None = None
        self._waiting: list[Delta] = []
        self._out: list[Delta] = []

    def text(self, kind: Literal["text", "thinking"], text: str) -> None:
        """Add a piece of text or of reasoning."""
        if self._open is None:
            self._emit(Delta(kind, text))
        else:
            self._put(Delta(kind, text))

    def tool_call(self, index: int | None, wire_id: str | None, name: str, arguments: str) -> ToolCall:
        """Add a piece of a tool call, named by whichever of index and id the provider sends; returns the call.

        Raises:
            ToolCallOverrun: The call was complete already.
        """
        call = self._find(index, wire_id, name, arguments)
        if arguments:
            call.written.append(arguments)
        first = not call.name
        call.name = call.name or name
        if not call.name:
            call.held += arguments
            return call
        text, call.held = call.held + arguments, ""
        if text or first:
            self._put(Delta("tool_call", text, call))
        return call

    def take(self) -> list[Delta]:
        """Return the deltas that may be shown now; adjacent deltas of one block are merged."""
        out, self._out = self._out, []
        return out

    def finish(self) -> None:
        """Release everything that still waits: the stream has ended, so no call can grow."""
        for call in self._calls:
            if not call.name:
                call.name = "unknown"
                self._put(Delta("tool_call", call.held, call))
        while self._waiting:
            self._advance()

    def _find(self, index: int | None, wire_id: str | None, name: str, arguments: str) -> ToolCall:
        if index is not None:
            call = self._by_index.get(index)
            if call is None or (name and _is_another(call, wire_id, name, arguments)):
                call = self._by_index[index] = self._begin(wire_id)
            return call
        last = self._calls[-1] if self._calls else None
        known = next((call for call in self._calls if wire_id and call.wire_id == wire_id), None)
        if known:
            return known
        return self._begin(wire_id) if name or last is None else last

    def _begin(self, wire_id: str | None) -> ToolCall:
        fit = wire_id is not None and _ID.fullmatch(wire_id) and wire_id not in self._taken
        call = ToolCall(id=wire_id if fit and wire_id else self._new_id(), wire_id=wire_id)
        self._taken.add(call.id)
        self._calls.append(call)
        return call

    def _put(self, delta: Delta) -> None:
        if delta.call is not None and delta.call.closed:
            if delta.text.strip():
                raise ToolCallOverrun
        elif self._open is None or delta.call is self._open:
            self._open = delta.call
            self._emit(delta)
        else:
            self._waiting.append(delta)
        if self._waiting and self._open is not None and self._open.whole():
            self._advance()

    def _advance(self) -> None:
        """Close the open call and release what waited, up to the next open call."""
        if self._open is not None:
            self._open.closed = True
            self._open = None
        waiting, self._waiting = self._waiting, []
        for delta in waiting:
            self._put(delta)

    def _emit(self, delta: Delta) -> None:
        if delta.call is not None:
            delta.call.shown.append(delta.text)
        last = self._out[-1] if self._out else None
        if last is not None and last.kind == delta.kind and last.call is delta.call:
            last.text += delta.text
        else:
            self._out.append(delta)


def _is_another(call: ToolCall, wire_id: str | None, name: str, arguments: str) -> bool:
    """Whether a piece with a name begins another call than the one that has its index already.

    Gemini's endpoint gives every parallel call index 0, and only the id tells them apart; others send no ids either.
    And there are servers that send a new id with each piece of one call, but the name only once, or that repeat the
    name at the end of a call.
    """
    if wire_id and call.wire_id:
        return wire_id != call.wire_id
    if not call.name or (name == call.name and not arguments):
        return False
    try:
        return isinstance(orjson.loads("".join(call.written)), dict)
    except orjson.JSONDecodeError:
        return False
