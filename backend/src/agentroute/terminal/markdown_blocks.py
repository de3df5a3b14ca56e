"""Which part of a Markdown text that still grows will look the same at its end. Pure."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


def finished_length(text: str) -> int:
    """Return how many characters at the start of a text are whole blocks that nothing after them changes.

    The last block may grow: a paragraph becomes a heading or a table, a list gets another item, a fence is still open.
    All blocks before it are finished.
    """
    starts = [
        token.map[0]
        for token in _parser().parse(text)
        if token.level == 0 and token.nesting >= 0 and token.map
    ]
    if len(starts) < 2:
        return 0
    lines = text.split("\n")
    return sum(len(line) + 1 for line in lines[: starts[-1]])


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # As rich.markdown has it: what is cut here is shown there.
    return MarkdownIt().enable("strikethrough").enable("table")
