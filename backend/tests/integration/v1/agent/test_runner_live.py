"""A runner of a user's own code behind the service: streamed, asked, approved by another worker, cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.stack import OpenStack, Reply, Stack

PROFILE = """
name = "Shop"
description = "Helps customers of a shoe shop."
[agent]
runner = "tests.support.shop_runner:run"
[[tools]]
name = "calculate"
permission = "ask"
"""
LEDGER = """
SELECT c.outcome FROM agent_model_call AS c JOIN agent_run AS r ON r.id = c.run_pk
JOIN agent_chat_session AS s ON s.id = r.session_id WHERE s.thread_id = $1 ORDER BY c.id
"""


@pytest.fixture(scope="module")
async def shop(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    path = tmp_path_factory.mktemp("shop") / "agent.toml"
    path.write_text(PROFILE, encoding="utf-8")
    async with open_stack(profile_path=path) as stack:
        yield stack


async def answer(shop: Stack, thread: str, reply: Reply, payload: dict[str, Any]) -> Reply:
    """Answer a question after all workers were replaced."""
    for worker in list(shop.workers):
        await shop.stop_worker(worker)
    await shop.start_worker()
    entries = [
        {"interruptId": each["id"], "status": "resolved", "payload": payload} for each in reply.interrupts
    ]
    return await shop.resume(thread, entries, parentRunId=reply.events[0]["runId"])


async def test_two_agents_answer_one_after_the_other_and_their_calls_are_in_the_ledger(shop: Stack) -> None:
    reply = await shop.stream_run("say shoes", thread="runner-1")

    assert len(reply.of("TEXT_MESSAGE_START")) == 2
    assert [event["stepName"] for event in reply.of("STEP_STARTED")] == ["execution", "thinker", "writer"]
    assert [row["outcome"] for row in await shop.fetch(LEDGER, "runner-1")] == ["completed"] * 2
    roles = [message["role"] for message in (await shop.history("runner-1"))["messages"]]
    assert roles == ["user", "assistant", "assistant"]


async def test_a_question_and_an_approval_are_answered_by_other_workers(shop: Stack) -> None:
    asked = await shop.stream_run("price of these", thread="runner-2")
    assert [each["reason"] for each in asked.interrupts] == ["question"]

    approval = await answer(shop, "runner-2", asked, {"size": 21})
    assert [each["reason"] for each in approval.interrupts] == ["tool_approval"]
    assert approval.of("TOOL_CALL_RESULT") == []

    reply = await answer(shop, "runner-2", approval, {"approved": True})
    assert reply.end["outcome"] == {"type": "success"}
    assert [event["content"] for event in reply.of("TOOL_CALL_RESULT")] == ["42"]
    assert reply.text == "That is 42."
    # The call of the first run, and its result in the second.
    history = await shop.history("runner-2")
    calls = [call["id"] for message in history["messages"] for call in message.get("toolCalls", ())]
    assert calls == [approval.interrupts[0]["toolCallId"]]


async def test_a_cancelled_runner_is_stopped_and_what_it_said_is_known_to_the_next_run(shop: Stack) -> None:
    body = shop.run_body("count for ever", thread="runner-3")
    async with shop.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        assert (await shop.cancel("runner-3", body["runId"])).status == 202
        events = await stream.to_end()
    assert events[-1]["outcome"]["type"] == "cancelled"

    await shop.stream_run("say shoes again", thread="runner-3")

    told = str(shop.demo.asked("say shoes again")[-1]["messages"])
    assert "count for ever" in told
    assert "one more" in told
