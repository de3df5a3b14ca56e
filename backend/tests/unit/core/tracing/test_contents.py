"""What spans may have of conversations: the form of the conventions, no secret, a bounded size."""

from __future__ import annotations

import json

from core.redaction import MASK, MAX_TEXT_CHARACTERS
from core.tracing.contents import MAX_CHARACTERS, messages_text, parts_text, said

SECRET = "sk-live-0123456789abcdef"


def test_messages_have_the_form_of_the_conventions() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
    found = json.loads(
        messages_text(
            [
                {"role": "user", "content": "Weather in Paris?"},
                {"role": "assistant", "content": None, "reasoning_content": "A tool.", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "rainy"},
            ]
        )
    )

    assert found == [
        {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "A tool."},
                {"type": "tool_call", "id": "c1", "name": "weather", "arguments": '{"city":"Paris"}'},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rainy"}]},
    ]


def test_secrets_are_masked_wherever_they_stand() -> None:
    call = {"id": "c1", "function": {"name": "send", "arguments": f'{{"api_key": "{SECRET}"}}'}}
    text = messages_text(
        [
            {"role": "user", "content": f"my key is {SECRET}"},
            {"role": "user", "content": [{"type": "text", "text": SECRET}, SECRET]},
            {"role": "assistant", "content": "", "tool_calls": [call], "reasoning_content": SECRET},
            {"role": "tool", "tool_call_id": "c1", "content": f"token={SECRET}"},
        ]
    )

    assert SECRET not in text
    assert text.count(MASK) >= 6
    json.loads(text)


def test_data_of_attachments_is_left_out() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}

    [message] = json.loads(
        messages_text([{"role": "user", "content": [image, {"type": "text", "text": "?"}]}])
    )

    assert message["parts"] == [{"type": "image_url"}, {"type": "text", "content": "?"}]


def test_a_long_text_is_cut_and_a_long_conversation_keeps_its_newest_messages() -> None:
    long = messages_text([{"role": "user", "content": f"{place} {'x' * 100_000}"} for place in range(20)])

    assert len(said("x" * 100_000)) <= MAX_TEXT_CHARACTERS
    assert len(long) <= MAX_CHARACTERS + 200
    first, *rest = json.loads(long)
    assert [message["parts"][0]["content"].split()[0] for message in rest] == ["16", "17", "18", "19"]
    assert first == {"role": "system", "parts": [{"type": "left_out", "count": 16}]}


def test_instructions_are_bounded_too() -> None:
    parts = [{"type": "text", "content": "x" * 10_000} for _ in range(20)]

    found = json.loads(parts_text(parts))

    assert found[0] == {"type": "left_out", "count": 14}
    assert len(found) == 7


def test_what_has_no_form_is_no_error() -> None:
    odd = [
        {"role": "user"},
        {"content": [None, 7, {"type": 5}]},
        {"role": "assistant", "tool_calls": [{}]},
        {},
    ]

    assert len(json.loads(messages_text(odd))) == 4
    assert json.loads(messages_text([{"role": "user", "content": "a\ud800b\x00"}]))
