"""Finds the reasoning that a model wrote into its answer's text, between tags.

Pure. Servers without a reasoning parser pass on what the model's template makes of its thoughts:
``<think>I wonder.</think>Hello``. Rules:

1. A tag counts at the very beginning of the answer only, after white space at most. A text or a program that mentions
   the tag later is not touched.
2. What is between the tags is reasoning, also when the closing tag never comes.
3. White space around the tags belongs to neither side.
4. A tag cut in two is put together; nothing that may become a tag is handed out before that is decided.
"""

from __future__ import annotations

from typing import Literal

Piece = tuple[Literal["text", "thinking"], str]

_TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "[THINK]": "[/THINK]",
}


class ThoughtSplitter:
    """Splits one answer's text, delta by delta."""

    def __init__(self) -> None:
        self._state: str = "start"
        """``start``, ``inside`` or ``text``."""
        self._end = ""
        """The tag that closes the reasoning."""
        self._held = ""
        """What may be the beginning of a tag, or white space before one."""
        self._bare = False
        """Whether a tag was the last thing that was read: white space after it is dropped."""

    def leave_alone(self) -> None:
        """Take all that follows as text: the server sends reasoning in a place of its own."""
        if self._state == "start" and not self._held:
            self._state = "text"

    def feed(self, text: str) -> list[Piece]:
        """Add a delta and return what it decides, in order; no piece is empty."""
        if self._state == "text":
            return [("text", text)] if text else []
        pieces: list[Piece] = []
        self._held += text
        undecided = False
        while self._held and not undecided:
            match self._state:
                case "start":
                    undecided = not self._open()
                case "inside":
                    undecided = not self._inside(pieces)
                case _:
                    pieces.append(("text", self._held))
                    self._held = ""
        return pieces

    def close(self) -> list[Piece]:
        """Return what was held back; the answer has ended."""
        held, self._held = self._held, ""
        if self._state == "inside" or self._bare:
            held = held.strip()
        return [("thinking" if self._state == "inside" else "text", held)] if held else []

    def _open(self) -> bool:
        """Look for a tag at the beginning; False when more text must decide."""
        head = self._held.lstrip()
        for tag, end in _TAGS.items():
            if head.startswith(tag):
                self._state, self._end, self._bare = "inside", end, True
                self._held = head[len(tag) :]
                return True
        if any(tag.startswith(head) for tag in _TAGS):
            return False
        if self._bare:
            self._held = head
        self._state = "text"
        return True

    def _inside(self, pieces: list[Piece]) -> bool:
        """Hand out reasoning; False when more text must decide."""
        if self._bare:
            self._held = self._held.lstrip()
            self._bare = not self._held
        before, tag, after = self._held.partition(self._end)
        if tag:
            if thought := before.rstrip():
                pieces.append(("thinking", thought))
            # Another thought may follow.
            self._state, self._held, self._bare = "start", after, True
            return True
        keep = _undecided(before, self._end)
        if thought := before[: len(before) - keep]:
            pieces.append(("thinking", thought))
        self._held = before[len(before) - keep :]
        return False


def _undecided(text: str, end: str) -> int:
    """Return how many characters at the end may belong to the closing tag, white space before it included."""
    cut = next((size for size in range(min(len(end) - 1, len(text)), 0, -1) if text.endswith(end[:size])), 0)
    solid = text[: len(text) - cut].rstrip()
    return len(text) - len(solid)
