"""Calls, results and numbers as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from agentroute.terminal.shown import age_text, call_line, cost_text, result_text, usage_line

NOW = datetime(2026, 11, 27, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", "f()"),
        ("{}", "f()"),
        ('{"a":1,"b":"ä","c":[true]}', 'f(a=1, b="ä", c=[true])'),
        ('{"a":', 'f({"a":)'),
        ("[1]", "f([1])"),
        ('{"a":"' + "x" * 400 + '"}', 'f(a="' + "x" * 297 + " …)"),
    ],
)
def test_a_call(arguments: str, line: str) -> None:
    assert call_line("f", arguments) == line


def test_a_result_is_cut_to_a_few_lines() -> None:
    assert result_text("\n".join("abcdefghijklmno")) == "\n".join("abcdefghijkl") + "\n… 3 more lines"
    assert result_text([{"type": "text", "text": "a"}, {"type": "image"}, 3]) == "a\n[image]\n[part]"
    assert result_text(None) == ""


@pytest.mark.parametrize(
    ("ago", "text"),
    [(timedelta(seconds=-5), "now"), (timedelta(minutes=5), "5 min ago"), (timedelta(days=2), "2 d ago")],
)
def test_an_age(ago: timedelta, text: str) -> None:
    assert age_text(NOW - ago, NOW) == text


def test_what_is_not_known_is_no_zero() -> None:
    assert cost_text(None) == "unknown cost"
    assert cost_text(Decimal("0.0100")) == "$0.01"
    assert cost_text(Decimal(0), is_complete=False) == "at least $0"
    assert usage_line(()) == ""
