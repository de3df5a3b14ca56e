"""An agent of a user's own code behind the service: streamed, approved, cancelled, taken over; its ledger is exact."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.support import shop_agent
from tests.support.stack import DemoModel, OpenStack, Reply, Stack

PROFILE = """
name = "Shop"
description = "Helps customers of a shoe shop."
[agent]
factory = "tests.support.shop_agent:create_agent"
[[tools]]
name = "calculate"
permission = "allow"
"""
YES = {"status": "resolved", "payload": {"approved": True}}


def written(path: Path) -> Path:
    path.write_text(PROFILE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
async def shop(
    open_stack: OpenStack, demo: DemoModel, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    path = written(tmp_path_factory.mktemp("shop") / "agent.toml")
    os.environ[shop_agent.ADDRESS] = demo.url
    # No model of the deployment: the agent brings its own.
    async with open_stack(profile_path=path, identity={"claims": ["sub"]}, model={"base_url": ""}) as stack:
        yield stack
    del os.environ[shop_agent.ADDRESS]


LEDGER = """
SELECT c.* FROM agent_model_call AS c JOIN agent_run AS r ON r.id = c.run_pk
JOIN agent_chat_session AS s ON s.id = r.session_id WHERE s.thread_id = $1 ORDER BY c.id
"""


async def ledger(stack: Stack, thread: str) -> list[dict[str, Any]]:
    return await stack.fetch(LEDGER, thread)


def answers(reply: Reply) -> list[dict[str, Any]]:
    return [{"interruptId": each["id"]} | YES for each in reply.interrupts]


def results(reply: Reply) -> list[str]:
    return [event["content"] for event in reply.of("TOOL_CALL_RESULT")]


async def test_it_answers_and_all_its_calls_are_in_the_ledger(shop: Stack) -> None:
    text = 'call the tool research with {"question": "say shoes"} and then calculate 6*7'

    reply = await shop.stream_run(text, thread="own-1")

    assert "42" in reply.text
    assert len(results(reply)) == 2
    rows = await ledger(shop, "own-1")
    # Three of the agent, one of the agent in its tool.
    asked = [body for body in shop.demo.requests if "say shoes" in orjson.dumps(body["messages"]).decode()]
    assert len(rows) == len(asked) == 4
    assert {(row["model"], row["outcome"], row["estimated"]) for row in rows} == {
        ("shop-model", "completed", False)
    }
    told = reply.end["usage"]
    assert sum(row["input_tokens"] for row in rows) == sum(each["inputTokens"] for each in told)
    assert sum(row["output_tokens"] for row in rows) == sum(each["outputTokens"] for each in told)
    assert "refunds" in orjson.dumps(asked[0]).decode()
    assert "Be brief." in str(asked[0]["messages"][0]["content"])


async def test_a_question_survives_all_workers_and_its_approval_acts_once(shop: Stack) -> None:
    parked = await shop.stream_run('call the tool refund with {"order": "7"}', thread="own-2")
    assert parked.interrupts[0]["toolCallId"]
    for worker in list(shop.workers):
        await shop.stop_worker(worker)
    await shop.start_worker()

    reply = await shop.resume("own-2", answers(parked), parentRunId=parked.events[0]["runId"])

    # Claims that the operator has named reach the agent; see AGENT_IDENTITY__CLAIMS.
    assert results(reply) == ["refunded 7 for ada"]
    assert reply.end["outcome"] == {"type": "success"}
    assert [row["outcome"] for row in await ledger(shop, "own-2")] == ["completed"] * 2


async def test_a_cancelled_run_stops_its_model_and_keeps_what_was_said(shop: Stack) -> None:
    body = shop.run_body("slowly say " + "word " * 2000, thread="own-3")
    async with shop.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        assert (await shop.cancel("own-3", body["runId"])).status == 202
        events = await stream.to_end()

    assert events[-1]["outcome"]["type"] == "cancelled"
    assert [row["outcome"] for row in await ledger(shop, "own-3")] == ["cancelled"]
    (_, answer) = (await shop.history("own-3"))["messages"]
    assert answer["content"]
