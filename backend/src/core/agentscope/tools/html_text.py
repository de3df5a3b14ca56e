"""Reduces an HTML page to the text a reader sees, in bounded time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser

_DROPPED = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "object"})
# fmt: off
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "option", "p",
    "pre", "section", "summary", "table", "td", "th", "title", "tr", "ul",
})
# fmt: on
_FEED_CHARACTERS = 1 << 14
# The parser reads an unfinished tag again with each piece, and holds the interpreter's lock meanwhile. Images
# written into the page make tags of a hundred thousand characters; longer ones are an attack.
_UNFINISHED_CHARACTERS = 1 << 18
_SPACES = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r"\n\s*\n+")


def html_text(html: str, *, max_seconds: float = 3.0, clock: Callable[[], float] = time.monotonic) -> str:
    """Return the page's text, one block a line, without scripts, styles and tags.

    Call it off the event loop: two MiB take about a second. A page made to be
    slow is cut, after ``max_seconds`` at the latest, and the text says so.
    """
    reducer = _Reducer()
    deadline = clock() + max_seconds
    for at in range(0, len(html), _FEED_CHARACTERS):
        reducer.feed(html[at : at + _FEED_CHARACTERS])
        # A script is read again too, but quickly, and real ones are long.
        unfinished = 0 if reducer.cdata_elem else len(reducer.rawdata)
        if clock() > deadline or unfinished > _UNFINISHED_CHARACTERS:
            return f"{reducer.text()}\n[the rest of the page could not be read]"
    # No close(): on Python before 3.13.6 it takes quadratic time on unclosed comments (CVE-2025-6069).
    # What is then missing is at most an unfinished tag, or the text after the last "<" or "&".
    return reducer.text()


class _Reducer(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._inside: str | None = None
        """The outermost open element whose content is not text."""
        self._depth: int = 0
        """How many elements of that name are open."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._inside is None and tag in _DROPPED:
            self._inside, self._depth = tag, 1
        elif tag == self._inside:
            self._depth += 1
        elif tag in _BLOCKS:
            self._break("\n- " if tag == "li" else "\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # "<svg/>" has no end tag to come; "<br/>" is a line like "<br>".
        if tag in _BLOCKS:
            self._break("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._depth -= 1
            if self._depth == 0:
                self._inside = None
        elif tag in _BLOCKS:
            self._break("\n")

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self._parts.append(data)

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        # In HTML "<![" opens a comment that ends at ">"; the library's own reading of it fails on "<![<".
        return self.parse_bogus_comment(i, report)

    def _break(self, text: str) -> None:
        if self._inside is None:
            self._parts.append(text)

    def text(self) -> str:
        lines = _SPACES.sub(" ", "".join(self._parts)).split("\n")
        return _BLANK_LINES.sub("\n\n", "\n".join(line.strip() for line in lines)).strip()
