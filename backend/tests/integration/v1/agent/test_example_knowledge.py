"""The example with documents runs as its README says, and nobody is told what is written for another."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.support.device import Device, results, said
from tests.support.stack import OpenStack, Reply, Stack

EXAMPLE = Path(__file__).parents[5] / "examples" / "knowledge"
MODULES = ("handbook", "memory_store", "word_hashes")
QUESTION = "May I return a bicycle?"
PRIVATE = "discount of 12 percent"


@pytest.fixture(scope="module")
async def shop(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The example, with the document of the user of local mode for a user with a token instead."""
    example = tmp_path_factory.mktemp("example") / "knowledge"
    shutil.copytree(EXAMPLE, example)
    shutil.move(example / "documents" / "local" / "local", example / "documents" / "default" / "ada")
    sys.path.insert(0, str(example))
    try:
        async with open_stack(profile_path=example / "agents") as stack:
            yield stack
    finally:
        sys.path.remove(str(example))
        for name in MODULES:
            sys.modules.pop(name, None)


def sources(reply: Reply) -> list[dict[str, Any]]:
    return [event["value"] for event in reply.of("CUSTOM") if event["name"] == "agentroute.sources"]


def asked(stack: Stack) -> str:
    return orjson.dumps(stack.demo.requests[-1]["messages"]).decode()


async def test_each_message_is_searched_for_and_the_thread_does_not_grow_by_it(shop: Stack) -> None:
    device = Device(shop)

    first = await device.run(said("u1", QUESTION))
    first_request = asked(shop)
    second = await device.run(said("u2", "Who mends a flat tyre?"))

    (found,) = sources(first)
    assert found["query"] == QUESTION
    assert found["sources"][0]["title"] == "Returns"
    assert "within 30 days" in first_request
    assert sources(second)[0]["sources"][0]["title"] == "Repairs"
    # Of the passages of the first message, the second request has none.
    assert "mended while you wait" in asked(shop)
    assert "ridden outside" not in asked(shop)
    stored = [row["payload"] for row in await shop.log(device.thread)]
    assert sum("agentroute.sources" in payload for payload in stored) == 2
    messages = await device.check()
    assert [message["content"] for message in messages if message["role"] == "user"] == [
        QUESTION,
        "Who mends a flat tyre?",
    ]
    # The answers cite: that is all that is left of the passages.
    assert "[1]" in messages[1]["content"]


@pytest.mark.parametrize(
    ("agent", "question"),
    [
        ("handbook", "Is there a discount on lamps?"),
        ("rag", "Is there a discount on lamps?"),
        ("rag-tool", 'call the tool search_knowledge with {"query": "discount on lamps"}'),
    ],
)
async def test_what_is_written_for_a_user_is_found_for_this_user_only(
    shop: Stack, agent: str, question: str
) -> None:
    seen: dict[str, bool] = {}
    for user in ("ada", "bob"):
        body = shop.run_body(
            thread=shop.new_id("thread"), messages=[said("u1", question)], forwardedProps={"agentId": agent}
        )
        reply = await shop.stream_run(body=body, user=user)
        assert reply.events[-1]["type"] == "RUN_FINISHED"
        seen[user] = PRIVATE in asked(shop)

    assert seen == {"ada": True, "bob": False}


async def test_the_tool_of_agentscope_s_middleware_needs_no_approval(shop: Stack) -> None:
    device = Device(shop)

    reply = await device.run(
        said("u1", 'call the tool search_knowledge with {"query": "flat tyre"}'), agentId="rag-tool"
    )

    assert "[1] (source: repairs.md)" in results(reply).popitem()[1]
    await device.check()


async def test_what_the_middleware_gives_the_model_is_in_no_checkpoint(shop: Stack) -> None:
    device = Device(shop)

    await device.run(said("u1", QUESTION), agentId="rag")
    with_passages = asked(shop)
    await device.run(said("u2", "hello"))

    assert "ridden outside" in with_passages
    assert "ridden outside" not in asked(shop)
    await device.check()
