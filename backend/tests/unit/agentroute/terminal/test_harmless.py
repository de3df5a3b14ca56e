"""What a model says cannot drive the terminal, in any view."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.markdown import Markdown

from agentroute.terminal.harmless import Harmless, harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nnext", "plain\ttext\nnext"),
        ("line\r\nnext", "line\nnext"),
        ("over\rwritten", "over\\rwritten"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202ecod.exe", "abc\\u202ecod.exe"),
        ("\ud800", "\\ud800"),
        (
            "日本語 ñ 👩\u200d👩\u200d👧 \u0645\u06cc\u200c\u062e",
            "日本語 ñ 👩\u200d👩\u200d👧 \u0645\u06cc\u200c\u062e",
        ),
    ],
)
def test_controls_are_written_out_and_everything_else_stays(text: str, shown: str) -> None:
    assert harmless(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "\x1b]52;c;aGk=\x07 **bold**",
        "`\x1b[31m`",
        "```\n\x1b[2J\n```",
        "# \x1b[H",
        "- \x9b2J",
        "[\x1b[5m](https://x.example)",
    ],
)
def test_markdown_cannot_hide_them(text: str) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=False, width=80)
    console.print(Harmless(Markdown(text, hyperlinks=False)))
    assert not set(written.getvalue()) & {"\x1b", "\x9b", "\x07"}


def test_a_link_shows_its_address_and_is_none_of_the_terminal() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, color_system="standard", width=80)
    console.print(Harmless(Markdown("[bank](https://evil.example)", hyperlinks=False)))
    assert "https://evil.example" in written.getvalue()
    assert "\x1b]8" not in written.getvalue()


def test_only_the_last_lines_of_what_is_too_high() -> None:
    written = io.StringIO()
    Console(file=written, width=20).print(Harmless("a\nb\nc", last_lines=2), end="")
    assert written.getvalue() == "b\nc\n"
