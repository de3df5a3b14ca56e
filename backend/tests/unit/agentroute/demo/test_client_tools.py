"""The sentences for the tools that the chat page carries out itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from agentroute.demo import answers
from agentroute.demo.script import Script, decide

PAGE_TOOLS = ("set_theme", "show_chart")


def ask(text: str, tools: Sequence[str] = PAGE_TOOLS, *more: dict[str, Any]) -> Script:
    offered = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in tools]
    return decide({"messages": [{"role": "user", "content": text}, *more], "tools": offered})


@pytest.mark.parametrize(
    ("text", "theme"),
    [
        ("dark theme please", "dark"),
        ("Please switch to the light theme.", "light"),
        ("use dark mode", "dark"),
        ("Can you turn the page to dark?", "dark"),
        ("make it dark", "dark"),
        ("follow the system theme", "system"),
        ("I like dark chocolate", None),
    ],
)
def test_a_theme_is_asked_for(text: str, theme: str | None) -> None:
    calls = [(call.name, orjson.loads(call.arguments)) for call in ask(text).calls]
    assert calls == ([("set_theme", {"theme": theme})] if theme else [])


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("draw a chart of 3, 5, 8", {"title": "Your numbers", "kind": "bar", "values": [3, 5, 8]}),
        ("Draw a chart of 3, 5 and 8.", {"title": "Your numbers", "kind": "bar", "values": [3, 5, 8]}),
        ("plot a graph: 1 2 3", {"title": "Your numbers", "kind": "bar", "values": [1, 2, 3]}),
        (
            "draw a line chart of sales: Jan 3, Feb 5.5, Mar -8",
            {"title": "Sales", "kind": "line", "values": [3, 5.5, -8], "labels": ["Jan", "Feb", "Mar"]},
        ),
        (
            "show me a bar chart of Q1 3, Q2 5",
            {"title": "Your numbers", "kind": "bar", "values": [3, 5], "labels": ["Q1", "Q2"]},
        ),
        ("draw a chart of love", None),
    ],
)
def test_a_chart_is_asked_for(text: str, arguments: dict[str, Any] | None) -> None:
    calls = [(call.name, orjson.loads(call.arguments)) for call in ask(text).calls]
    assert calls == ([("show_chart", arguments)] if arguments else [])


@pytest.mark.parametrize("text", ["dark theme please", "draw a chart of 3, 5, 8"])
def test_without_the_page_the_sentence_is_plain_talk(text: str) -> None:
    script = ask(text, ("calculate",))
    assert not script.calls
    assert "You said" in script.text


def test_both_are_joined_like_other_tools_and_told() -> None:
    assert [call.name for call in ask("dark theme please and also draw a chart of 1, 2").calls] == [
        "set_theme",
        "show_chart",
    ]
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c",
                "type": "function",
                "function": {"name": "set_theme", "arguments": '{"theme":"dark"}'},
            }
        ],
    }
    result = {"role": "tool", "tool_call_id": "c", "content": "The page now has the dark theme."}
    assert (
        ask("dark theme please", PAGE_TOOLS, called, result).text == "Done. The page now has the dark theme."
    )


def test_an_intent_counts_them_as_tools() -> None:
    schema = {
        "type": "object",
        "properties": {"needs_tools": {"type": "boolean"}},
        "required": ["needs_tools"],
    }
    shape = {"type": "json_schema", "json_schema": {"name": "intent", "schema": schema}}
    body = {"messages": [{"role": "user", "content": "dark theme please"}], "response_format": shape}
    assert orjson.loads(decide(body).text) == {"needs_tools": True}


def test_help_names_them() -> None:
    for phrase in ("dark theme please", "draw a chart of", "put milk on the list", "what is on the list"):
        assert phrase in answers.HELP
