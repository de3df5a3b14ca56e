"""Answers of MCP servers as the text that a model reads."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import types

from core.agentscope.tools.mcp.results import answer_text


def text(said: str) -> types.TextContent:
    return types.TextContent(type="text", text=said)


@pytest.mark.parametrize(
    ("content", "structured", "expected"),
    [
        ([], None, "Done."),
        ([text("one"), text("two")], None, "one\ntwo"),
        ([], {"a": 1}, '{"a": 1}'),
        ([text('{\n "a": 1}')], {"a": 1}, '{\n "a": 1}'),
        ([text("7")], {"result": 7}, "7"),
        ([text("seven")], {"result": "seven"}, "seven"),
        ([text("It is seven.")], {"number": 7}, 'It is seven.\n{"number": 7}'),
    ],
)
def test_structured_content_is_kept_unless_the_text_says_it(
    content: list[Any], structured: dict[str, Any] | None, expected: str
) -> None:
    result = types.CallToolResult(content=content, structuredContent=structured)

    assert answer_text(result) == expected


def test_what_is_no_text_is_named() -> None:
    result = types.CallToolResult(
        content=[
            types.ImageContent(type="image", data="AAAA", mimeType="image/png"),
            types.AudioContent(type="audio", data="AAAAAAAA", mimeType="audio/wav"),
            types.ResourceLink.model_validate(
                {"type": "resource_link", "name": "report", "uri": "https://example.org/report.pdf"}
            ),
            types.EmbeddedResource.model_validate(
                {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "inside"}}
            ),
            types.EmbeddedResource.model_validate(
                {"type": "resource", "resource": {"uri": "file:///a.bin", "blob": "AAAA"}}
            ),
        ]
    )

    assert answer_text(result).splitlines() == [
        "[image/png, 3 bytes, not shown]",
        "[audio/wav, 6 bytes, not shown]",
        "https://example.org/report.pdf",
        "inside",
        "[resource: file:///a.bin]",
    ]


def test_a_secret_that_the_server_repeats_is_masked_and_a_short_value_is_not() -> None:
    result = types.CallToolResult(content=[text("token ghp-12345678 of shop")])

    assert answer_text(result, ["shop", "ghp-12345678"]) == "token [redacted] of shop"
