"""A conversation longer than the model's context: summarised for the model, announced, booked, and whole for the user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from agentscope.exception import StructuredOutputError
from tests.support.stack import OpenStack, Row, Stack, assert_valid

from core.agentscope.runtime.agent.compaction import EVENT_NAME, CompactionModel

CONTEXT_TOKENS = 4096
FIRST = "the-very-first-word"


@pytest.fixture(scope="module")
async def small(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """A service whose model has a small context."""
    async with open_stack(model={"context_tokens": CONTEXT_TOKENS}) as stack:
        yield stack


async def ledger(stack: Stack, thread: str) -> list[Row]:
    return await stack.fetch(
        """SELECT c.* FROM agent_model_call AS c JOIN agent_run AS r ON r.id = c.run_pk
        JOIN agent_chat_session AS s ON s.id = r.session_id WHERE s.thread_id = $1 ORDER BY c.id""",
        thread,
    )


def announcements(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == "CUSTOM" and event["name"] == EVENT_NAME]


async def test_a_conversation_that_fits_is_left_alone(small: Stack) -> None:
    thread = small.new_id("short")
    reply = await small.stream_run("hello", thread=thread)

    assert announcements(reply.events) == []
    assert "compaction" not in {call["stage"] for call in await ledger(small, thread)}


async def test_a_long_conversation_is_summarised_announced_booked_and_kept_whole(small: Stack) -> None:
    thread = small.new_id("long")
    texts = [f"{FIRST} {thread}", *(f"part {place}: {'words and words ' * 250}" for place in range(4))]
    replies = [await small.stream_run(text, thread=thread) for text in texts]

    told = [event for reply in replies for event in announcements(reply.events)]
    assert told, "the context was compacted"
    for reply in replies:
        assert_valid(reply.events)
        assert reply.end["outcome"] == {"type": "success"}
    for event in told:
        assert event["value"]["contextTokens"] == CONTEXT_TOKENS
        assert event["value"]["messagesKept"] < event["value"]["messagesBefore"]
        assert event["value"]["messagesLeftOut"] == 0

    calls = await ledger(small, thread)
    summaries = [call for call in calls if call["stage"] == "compaction"]
    assert len(summaries) == len(told)
    for call in summaries:
        assert (call["outcome"], call["estimated"], call["message_id"]) == ("completed", False, None)
        assert call["input_tokens"] > 0
        assert call["output_tokens"] > 0
    for run in await small.runs(thread):
        own = [call for call in calls if call["run_pk"] == run["id"]]
        assert run["input_tokens"] == sum(call["input_tokens"] for call in own)

    # The model's view became shorter; the user's did not.
    last = small.demo.asked("part 3")[-1]
    assert FIRST not in orjson.dumps(last["messages"]).decode()
    assert "summary of your previous work" in orjson.dumps(last["messages"]).decode()
    shown = [
        message["content"]
        for message in (await small.history(thread))["messages"]
        if message["role"] == "user"
    ]
    assert shown == texts


async def test_without_a_summary_nothing_is_left_out(small: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_summary(*_args: Any, **_options: Any) -> None:
        raise StructuredOutputError("no summary")

    monkeypatch.setattr(CompactionModel, "generate_structured_output", no_summary)
    thread = small.new_id("unsummarised")
    texts = [f"{FIRST} {thread}", *(f"part {place}: {'words and words ' * 250}" for place in range(4))]
    replies = [await small.stream_run(text, thread=thread) for text in texts]

    assert [event for reply in replies for event in announcements(reply.events)] == []
    assert [reply.end["type"] for reply in replies] == ["RUN_FINISHED"] * len(texts)
    last = small.demo.asked(thread)[-1]
    assert all(text in orjson.dumps(last["messages"]).decode() for text in texts)
