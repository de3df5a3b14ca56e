"""Speech to text with everything real behind it: two API processes, Postgres, Redis and the demo model's endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support import audio
from tests.support.stack import OpenStack, Reply, Stack

from agentroute.embedded.local_valkey import LocalValkey


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    async with open_stack(apis=2, workers=0) as stack:
        yield stack


async def transcribe(
    stack: Stack, data: bytes, *, api: int = 0, user: str = "ada", key: str | None = None, **fields: str
) -> Reply:
    return await stack.request(
        "POST",
        "/transcribe",
        user=user,
        api=stack.apis[api],
        files={"file": ("speech", data)},
        data=fields,
        headers={"Idempotency-Key": key} if key else {},
    )


async def test_the_demo_answers_and_says_that_it_is_one(stack: Stack) -> None:
    data = audio.live_webm()

    reply = await transcribe(stack, data, language="en", prompt="AgentRoute")

    assert reply.status == 200, reply.body
    assert "scripted demo transcription" in reply.json["text"]
    assert f"{len(data)} bytes" in reply.json["text"]
    assert (reply.json["language"], reply.json["model"], reply.json["cost"]) == ("en", "whisper-1", "0")
    asked = stack.demo.requests[-1]
    assert asked["file"] == {"filename": "audio.webm", "content_type": "audio/webm", "bytes": len(data)}
    assert (asked["model"], asked["language"], asked["prompt"]) == ("whisper-1", "en", "AgentRoute")


async def test_a_call_is_in_the_ledger_of_its_user(stack: Stack) -> None:
    reply = await transcribe(stack, audio.flac(), user="bill")

    (row,) = await stack.fetch("SELECT * FROM agent_transcription WHERE user_id = 'bill'")
    assert (row["outcome"], row["model"], row["audio_kind"]) == ("succeeded", "whisper-1", "flac")
    assert (row["audio_ms"], row["latency_ms"]) == (reply.json["durationMs"], reply.json["latencyMs"])
    assert (row["cost"], row["cost_source"], row["provider"]) == (0, "engine", "127.0.0.1")
    assert "scripted" not in str(dict(row))


async def test_a_repeat_is_answered_by_any_process_and_paid_once(stack: Stack) -> None:
    first = await transcribe(stack, audio.mp3(), user="carl", key="upload-1")
    asked = len(stack.demo.requests)

    again = await transcribe(stack, audio.mp3(), user="carl", key="upload-1", api=1)
    without_key = await transcribe(stack, audio.mp3(), user="carl", api=1)
    other = await transcribe(stack, audio.ogg(), user="carl", key="upload-1", api=1)

    assert first.status == 200, first.body
    assert again.body == without_key.body == first.body
    assert (other.status, other.json["code"]) == (422, "idempotency-mismatch")
    assert len(stack.demo.requests) == asked
    (count,) = await stack.fetch("SELECT count(*) FROM agent_transcription WHERE user_id = 'carl'")
    assert count["count"] == 1


async def test_a_foreign_user_is_not_served_from_it(stack: Stack) -> None:
    for user in ("dora", "emil"):
        assert (await transcribe(stack, audio.wav(), user=user)).status == 200

    rows = await stack.fetch("SELECT user_id FROM agent_transcription WHERE user_id IN ('dora', 'emil')")
    assert {row["user_id"] for row in rows} == {"dora", "emil"}


async def test_without_redis_it_just_asks_again(open_stack: OpenStack, local_valkey: LocalValkey) -> None:
    local_valkey.start()
    async with open_stack(workers=0, redis_url=local_valkey.url) as stack:
        local_valkey.stop()
        for _ in range(2):
            assert (await transcribe(stack, audio.wav(), key="upload-1")).status == 200

        (count,) = await stack.fetch("SELECT count(*) FROM agent_transcription")
        assert count["count"] == 2


async def test_without_an_endpoint_the_route_says_so(open_stack: OpenStack) -> None:
    async with open_stack(workers=0, model={"base_url": ""}) as stack:
        reply = await transcribe(stack, audio.wav())

        assert (reply.status, reply.json["code"]) == (502, "transcription-failed")
        assert "AGENT_TRANSCRIPTION__BASE_URL" in reply.json["detail"]


async def test_an_endpoint_that_is_gone_is_a_problem_and_in_the_ledger(open_stack: OpenStack) -> None:
    async with open_stack(workers=0, transcription={"base_url": "http://127.0.0.1:1/v1"}) as stack:
        reply = await transcribe(stack, audio.wav())

        assert (reply.status, reply.json["code"]) == (502, "transcription-failed")
        assert "127.0.0.1" not in reply.body.decode()
        (row,) = await stack.fetch("SELECT outcome, error_code, cost FROM agent_transcription")
        assert tuple(row.values()) == ("failed", "transcription-failed", None)
