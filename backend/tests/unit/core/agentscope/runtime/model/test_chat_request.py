"""Requests: AgentScope's messages in the plainest form, without reading files or fetching anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from agentscope.message import (
    AssistantMsg,
    Base64Source,
    DataBlock,
    Msg,
    SystemMsg,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    URLSource,
    UserMsg,
)
from agentscope.tool import ToolChoice
from pydantic import AnyUrl

from core.agentscope.runtime.model.chat_endpoint import knows_max_completion_tokens
from core.agentscope.runtime.model.chat_meter import estimate_input_tokens
from core.agentscope.runtime.model.chat_request import (
    ChatFormatter,
    encode,
    format_tools,
    tool_call_ids,
)
from core.schema_validator import bounded


def tool(name: str, **parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"} | parameters}}


def attachment(url: str, media_type: str) -> Msg:
    return UserMsg(name="user", content=[TextBlock(text="see"), DataBlock(source=URLSource(url=AnyUrl(url), media_type=media_type))])  # fmt: skip


async def test_a_conversation_in_its_plainest_form() -> None:
    messages = await ChatFormatter().format(
        [
            SystemMsg(name="system", content="Be brief."),
            UserMsg(name="user", content="hi"),
            AssistantMsg(
                name="assistant",
                content=[
                    TextBlock(text="one"),
                    ToolCallBlock(id="c1", name="f", input=""),
                    ToolResultBlock(id="c1", name="f", output="done"),
                ],
            ),
            UserMsg(name="Ann", content=[TextBlock(text="a"), TextBlock(text="b")]),
        ]
    )
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "one", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {
            "role": "user",
            "name": "Ann",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        },
    ]
    assert tool_call_ids({"messages": messages}) == ["c1"]


async def test_an_image_is_passed_on_by_its_address() -> None:
    (message,) = await ChatFormatter().format([attachment("https://a.example/x.png", "image/png")])
    assert message["content"][1] == {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}


@pytest.mark.parametrize(
    ("url", "media_type"),
    [
        ("https://a.example/x.wav", "audio/wav"),
        ("https://a.example/x.pdf", "application/pdf"),
        ("file:///etc/hostname", "image/png"),
        ("ftp://a.example/x.png", "image/png"),
    ],
)
async def test_nothing_is_read_or_fetched_for_an_attachment(url: str, media_type: str) -> None:
    (message,) = await ChatFormatter().format([attachment(url, media_type)])
    words = f"[an attachment of type {media_type} that cannot be shown here]"
    assert message["content"] == [{"type": "text", "text": "see"}, {"type": "text", "text": words}]


async def test_an_attachment_of_another_type_is_named_and_not_written_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    source = Base64Source(data="AAAA", media_type="application/zip")
    result = ToolResultBlock(id="c1", name="f", output=[DataBlock(source=source)])
    messages = await ChatFormatter().format([AssistantMsg(name="assistant", content=[result])])
    assert "application/zip" in messages[0]["content"]
    assert not os.listdir(tmp_path)  # noqa: PTH208  pathlib is refused in async code


def test_tools_are_left_out_when_there_are_none() -> None:
    assert format_tools(None, None) == {}
    assert format_tools([], ToolChoice(mode="none")) == {}


def test_references_in_a_schema_are_resolved() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}
    (made,) = format_tools([tool("f", **schema)], None)["tools"]
    assert made["function"]["parameters"] == {"type": "object", "properties": {"a": {"type": "string"}}}


def test_the_name_of_our_validator_is_not_sent() -> None:
    (made,) = format_tools([tool("f", **bounded({"properties": {"$schema": {"type": "string"}}}))], None)[
        "tools"
    ]
    assert made["function"]["parameters"] == {"type": "object", "properties": {"$schema": {"type": "string"}}}


@pytest.mark.parametrize(
    ("choice", "member"),
    [
        (ToolChoice(mode="auto"), "auto"),
        (ToolChoice(mode="required"), "required"),
        (ToolChoice(mode="f"), {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_a_tool_choice(choice: ToolChoice, member: Any) -> None:
    assert format_tools([tool("f"), tool("g")], choice)["tool_choice"] == member


def test_a_tool_choice_can_narrow_the_tools() -> None:
    made = format_tools([tool("f"), tool("g")], ToolChoice(mode="auto", tools=["g"]))
    assert [each["function"]["name"] for each in made["tools"]] == ["g"]


def test_only_openai_itself_is_known_to_use_the_new_name_of_the_limit() -> None:
    assert knows_max_completion_tokens("api.openai.com")
    assert knows_max_completion_tokens("x.openai.azure.com")
    assert not knows_max_completion_tokens("litellm.internal")


def test_a_body_that_is_not_unicode_is_sent_all_the_same() -> None:
    assert encode({"a": "é"}) == '{"a":"é"}'.encode()
    assert encode({"a": "x\ud800"}) == b'{"a": "x?"}'


def test_a_request_is_estimated_by_its_text_and_attachments() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
    call = {"function": {"name": "f", "arguments": "1234"}}
    messages = [
        {"role": "system", "content": "12345678"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "user", "content": [{"type": "text", "text": "€" * 4}, image]},
    ]
    assert estimate_input_tokens({"messages": messages}) == 2 + 1 + 3 + 2000
