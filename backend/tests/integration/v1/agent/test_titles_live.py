"""Titles by a model call: after the run, in the ledger, and never in the place of the user's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.stack import OpenStack, Stack, bundled_profile, eventually


@pytest.fixture(scope="module")
async def titled(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack whose profile wants titles of a model of their own."""
    profile = tmp_path_factory.mktemp("profile") / "profile.toml"
    wished = (
        bundled_profile().replace('title = "words"', 'title = "model"') + '\n[models.title]\nname = "cheap"\n'
    )
    assert wished.count('title = "model"') == 1
    profile.write_text(wished)
    async with open_stack(profile_path=str(profile)) as stack:
        yield stack


_LEDGER = """
SELECT c.stage, c.model, c.outcome, c.input_tokens FROM agent_model_call AS c
JOIN agent_run AS r ON r.id = c.run_pk JOIN agent_chat_session AS s ON s.id = r.session_id
WHERE s.thread_id = $1 ORDER BY c.id
"""


async def title_of(stack: Stack, thread: str) -> Any:
    return (await stack.history(thread))["title"]


async def ledger(stack: Stack, thread: str) -> list[Any]:
    return await stack.fetch(_LEDGER, thread)


async def booked(stack: Stack, thread: str) -> list[Any]:
    """Return the ledger once the title's call is in it."""

    async def found() -> list[Any]:
        rows = await ledger(stack, thread)
        return rows if rows[-1]["stage"] == "title" else []

    return await eventually(found)


async def test_a_first_run_gives_its_thread_a_title_and_its_tokens_count(titled: Stack) -> None:
    thread = titled.new_id("thread")
    reply = await titled.stream_run(body=titled.run_body("hello from Oslo", thread=thread))
    rows = await booked(titled, thread)

    assert await title_of(titled, thread) == "About “hello from Oslo”"
    assert [(row["stage"], row["model"], row["outcome"]) for row in rows] == [
        ("execution", "demo", "completed"),
        ("title", "cheap", "completed"),
    ]
    # The run had ended before: its last event knows nothing of the call, the thread's totals do.
    assert {entry["model"] for entry in reply.end["usage"]} == {"demo"}
    total = (await titled.history(thread))["usage"]["inputTokens"]
    assert total == sum(row["input_tokens"] for row in rows)


async def test_later_runs_ask_for_no_title(titled: Stack) -> None:
    thread = titled.new_id("thread")
    await titled.stream_run(body=titled.run_body("hello from Bergen", thread=thread))
    await booked(titled, thread)
    await titled.stream_run(body=titled.run_body("and now", thread=thread))
    await titled.stream_run(body=titled.run_body("hello", thread=(other := titled.new_id("thread"))))
    await booked(titled, other)

    assert [row["stage"] for row in await ledger(titled, thread)].count("title") == 1
    assert await title_of(titled, thread) == "About “hello from Bergen”"


async def test_a_title_of_the_user_s_stays(titled: Stack) -> None:
    thread = titled.new_id("thread")
    async with titled.open_run(body=titled.run_body("slowly calculate 6*7", thread=thread)) as stream:
        await stream.until("TOOL_CALL_START")
        renamed = await titled.request("PATCH", f"/threads/{thread}", json={"title": "Mine"})
        await stream.to_end()
    await booked(titled, thread)

    assert renamed.status == 200
    assert await title_of(titled, thread) == "Mine"


async def test_a_run_that_failed_asks_for_none(titled: Stack) -> None:
    thread, other = titled.new_id("thread"), titled.new_id("thread")
    await titled.stream_run(body=titled.run_body("fail", thread=thread))
    await titled.stream_run(body=titled.run_body("hello", thread=other))
    await booked(titled, other)

    assert "title" not in [row["stage"] for row in await ledger(titled, thread)]
    assert await title_of(titled, thread) == "fail"


async def test_a_deleted_thread_costs_nothing_but_the_call(titled: Stack) -> None:
    thread, other = titled.new_id("thread"), titled.new_id("thread")
    await titled.stream_run(body=titled.run_body("hello", thread=thread))
    deleted = await titled.request("DELETE", f"/threads/{thread}")
    await titled.stream_run(body=titled.run_body("hello", thread=other))
    await booked(titled, other)

    assert deleted.status == 204


async def test_without_the_wish_the_words_stay(stack: Stack) -> None:
    thread = stack.new_id("thread")
    await stack.stream_run(body=stack.run_body("hello", thread=thread))
    await asyncio.gather(*(stack.stop_worker(worker) for worker in list(stack.workers)))

    assert await title_of(stack, thread) == "hello"
    assert {row["stage"] for row in await ledger(stack, thread)} == {"execution"}
