"""Keeps what a model says from driving the terminal: control characters are shown, not sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_WIDTH = 100
"""Longer lines of text are hard to read."""

# Escape sequences, other controls, and what turns the writing direction around. Joiners stay: emoji and Persian need them.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def harmless(text: str) -> str:
    """Return a text whose control characters are written out, except for tabs and line feeds."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))


class Harmless:
    """Anything that is shown, without control characters, and not wider than a text should be."""

    def __init__(self, shown: RenderableType, *, last_lines: int | None = None) -> None:
        self._shown = shown
        self._last_lines = last_lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the segments. With ``last_lines``, those of the last lines only."""
        from rich.segment import Segment

        narrow = options.update(width=min(options.max_width, _WIDTH))
        lines = console.render_lines(self._shown, narrow, pad=False)
        for line in lines if self._last_lines is None else lines[-self._last_lines :]:
            for text, style, control in line:
                if control is None:
                    yield Segment(harmless(text), style)
            yield Segment.line()
