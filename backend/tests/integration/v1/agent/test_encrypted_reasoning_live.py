"""Encrypted reasoning: shown as the provider sent it, kept in history, and returned to the provider alone."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.support.stack import Stack, assert_valid, client_view


@pytest.mark.parametrize("version", ["1.0", None])
async def test_it_goes_from_the_provider_to_history_and_back(stack: Stack, version: str | None) -> None:
    thread = stack.new_id("thread")
    text = f"think about {stack.new_id('tea')} and calculate 6*7"
    first = await stack.stream_run(body=stack.run_body(text, thread=thread, protocolVersion=version))
    assert_valid(first.events)

    (shown,) = first.of("REASONING_ENCRYPTED_VALUE")
    history = (await stack.history(thread))["messages"]
    (reasoning,) = [message for message in history if message["role"] == "reasoning"]
    assert (shown["subtype"], shown["entityId"]) == ("message", reasoning["id"])
    assert shown["encryptedValue"] == reasoning["encryptedValue"]
    assert history == await client_view(stack, thread)
    details = orjson.loads(shown["encryptedValue"])["reasoning_details"]
    assert [detail["type"] for detail in details] == ["reasoning.encrypted"]

    body = stack.run_body("hello", thread=thread, protocolVersion=version)
    # A client sends back what it holds; what it made of the value counts for nothing.
    forged = [message | {"encryptedValue": "forged"} for message in history]
    second = await stack.stream_run(body=body | {"messages": [*forged, *body["messages"]]})

    assert second.end["outcome"] == {"type": "success"}
    assert returned(stack.demo.asked(text)) == [[], details, details]


def returned(requests: list[dict[str, Any]]) -> list[list[Any]]:
    """Return what was sent back, by request of the agent itself."""
    answers = [
        [message for message in request["messages"] if message["role"] == "assistant"]
        for request in requests
        if "tool_choice" not in request
    ]
    assert all("forged" not in orjson.dumps(messages).decode() for messages in answers)
    return [[item for message in said for item in message.get("reasoning_details", ())] for said in answers]
