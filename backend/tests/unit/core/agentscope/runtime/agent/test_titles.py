"""Titles as models write them, and as a list of threads shows them."""

from __future__ import annotations

import pytest

from core.agentscope.runtime.agent.titles import fit_title


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Tea in Oslo", "Tea in Oslo"),
        ('\n  "Tea in Oslo."  \nBecause you asked.', "Tea in Oslo"),
        ("Title: **Tea in Oslo**", "Tea in Oslo"),
        ("“Grüße, 世界”", "Grüße, 世界"),
        ("", ""),
        (" \n\t", ""),
        ("word " * 40, "word " * 15 + "word…"),
        ("a\x00b", "a\ufffdb"),
        ("About “tea”.", "About “tea”"),
        ('"', '"'),
    ],
)
def test_a_title_is_the_first_line_without_ornaments(answer: str, title: str) -> None:
    assert fit_title(answer) == title
