"""What is cut off a growing Markdown text as finished looks the same at the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.terminal.markdown_blocks import _parser, finished_length

_BLOCKS = (
    "A paragraph.",
    "Two lines\nof one.",
    "# Heading",
    "Setext\n======",
    "- one\n- two",
    "- one\n\n- loose",
    "- one\n  - inner\n\n  text of one",
    "1. one\n2. two",
    "```py\nx = 1\n\ny = 2\n```",
    "    indented\n\n    code",
    "> quote\nlazy",
    "| a | b |\n| - | - |\n| 1 | 2 |",
    "---",
    "~~gone~~ *em* `c`",
    "```\nopen",
    "日本語",
)


@given(st.lists(st.sampled_from(_BLOCKS), max_size=6), st.sampled_from(["\n", "\n\n", "\n\n\n"]))
def test_what_is_cut_at_any_time_changes_nothing(blocks: list[str], between: str) -> None:
    text = between.join(blocks)
    shown, pending = "", ""
    for character in text:
        pending += character
        if character == "\n" and (end := finished_length(pending)):
            shown += _parser().render(pending[:end])
            pending = pending[end:]
    assert shown + _parser().render(pending) == _parser().render(text)


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("", ""),
        ("One", ""),
        ("One\n\nTwo", "One\n\n"),
        ("One\n\n- a\n- b\n", "One\n\n"),
        ("# One\nTwo", "# One\n"),
        ("```\na\n\nb\n", ""),
        ("```\na\n```\nTwo\n", "```\na\n```\n"),
    ],
)
def test_the_last_block_may_grow(text: str, finished: str) -> None:
    assert text[: finished_length(text)] == finished
