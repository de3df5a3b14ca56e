"""Answers and places in Redis, the ledger in Postgres: the contracts of their memory twins, and outages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from structlog.testing import capture_logs

from agentroute.embedded.local_valkey import LocalValkey
from core.config import DatabaseSettings, RedisSettings
from core.database import create_engine, create_session_factory
from core.errors import RateLimited
from core.identity import Principal
from core.owned_keys import drop_keys
from core.redis_client import create_redis
from core.transcription.answers import Answers, MemoryAnswers, RedisAnswers
from core.transcription.ledger import CallEnd, CallStart, PostgresTranscriptionLedger
from core.transcription.slots import LocalSlots, SharedSlots, Slots
from core.transcription.transcription import Transcription

ADA, EVE = Principal("t", "ada"), Principal("t", "eve")
ANSWER = Transcription(
    text="hëllo", language=None, duration_ms=2000, model="m", latency_ms=5, cost=Decimal("0.000000000001")
)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = create_redis(RedisSettings(url=SecretStr(redis_url)))
    yield client
    await client.aclose(close_connection_pool=True)


# --- answers ---


@pytest.fixture(params=["memory", "redis"])
def answers(request: pytest.FixtureRequest) -> Answers:
    if request.param == "memory":
        return MemoryAnswers()
    return RedisAnswers(request.getfixturevalue("redis"), RedisSettings(), keep_seconds=600)


async def test_the_first_answer_stays(answers: Answers) -> None:
    assert await answers.find("f-1") is None
    await answers.put(ADA, "f-1", ANSWER)
    await answers.put(ADA, "f-1", ANSWER.model_copy(update={"text": "other"}))

    assert await answers.find("f-1") == ANSWER
    assert await answers.find("f-2") is None


async def test_where_texts_are_not_kept_redis_has_none(redis: Redis) -> None:
    answers = RedisAnswers(redis, RedisSettings(), keep_seconds=0)
    assert await answers.claim(ADA, "key", "f-1")
    await answers.put(ADA, "f-1", ANSWER)

    assert await answers.find("f-1") is None
    assert await answers.claim(ADA, "key", "f-2")
    assert await redis.keys() == []


async def test_a_key_is_bound_once_for_each_user(answers: Answers) -> None:
    assert await answers.claim(ADA, "k", "f-1")
    assert await answers.claim(ADA, "k", "f-1")
    assert not await answers.claim(ADA, "k", "f-2")
    assert await answers.claim(EVE, "k", "f-2")


async def test_redis_forgets_by_itself(redis: Redis) -> None:
    answers = RedisAnswers(redis, RedisSettings(key_prefix="p"), keep_seconds=600)
    await answers.put(ADA, "f-1", ANSWER)
    await answers.claim(ADA, "k", "f-1")

    names = [name.decode() async for name in redis.scan_iter("*") if not name.startswith(b"p:owned:")]
    assert len(names) == 2
    for name in names:
        assert name.startswith("p:transcription:")
        assert "ada" not in name
        assert 590 < await redis.ttl(name) <= 600


async def test_what_belongs_to_a_user_is_found_and_deleted(redis: Redis) -> None:
    answers = RedisAnswers(redis, RedisSettings(key_prefix="p"), keep_seconds=600)
    await answers.put(ADA, "f-1", ANSWER)
    await answers.claim(ADA, "k", "f-1")
    await answers.put(EVE, "f-2", ANSWER)

    assert await drop_keys(redis, "p", ADA) == 2

    assert await answers.find("f-1") is None
    assert await answers.find("f-2") == ANSWER
    assert await drop_keys(redis, "p", ADA) == 0


async def test_the_answer_of_another_version_is_none(redis: Redis) -> None:
    answers = RedisAnswers(redis, RedisSettings(key_prefix="p"), keep_seconds=600)
    await redis.set("p:transcription:answer:f-1", '{"words": []}')

    assert await answers.find("f-1") is None


# --- places ---


def shared(redis: Redis, *, lost_after_seconds: float = 600, max_per_user: int = 3) -> SharedSlots:
    """The counters of one process."""
    local = LocalSlots(max_per_user=max_per_user, max_total=100)
    return SharedSlots(redis, RedisSettings(), local, lost_after_seconds=lost_after_seconds)


async def fill(slots: Slots, stack: AsyncExitStack, principal: Principal, count: int) -> None:
    for _ in range(count):
        await stack.enter_async_context(slots.take(principal))


async def test_a_users_places_are_counted_over_all_processes(redis: Redis) -> None:
    one, other = shared(redis), shared(redis)
    async with AsyncExitStack() as stack:
        await fill(one, stack, ADA, 2)
        await fill(other, stack, ADA, 1)
        for slots in (one, other):
            with pytest.raises(RateLimited):
                async with slots.take(ADA):
                    pass
        await fill(other, stack, EVE, 3)
    async with AsyncExitStack() as stack:
        await fill(other, stack, ADA, 3)
    assert [name async for name in redis.scan_iter("*")] == []


async def test_the_place_of_a_process_that_died_is_free_in_the_end(redis: Redis) -> None:
    async with AsyncExitStack() as stack:
        await fill(shared(redis), stack, ADA, 3)
        (name,) = [name async for name in redis.scan_iter("*")]
        assert 590 < await redis.ttl(name) <= 601
        # As time would: all that is held is past its end.
        for slot in await redis.zrange(name, 0, -1):
            assert isinstance(slot, bytes)
            await redis.zadd(name, {slot: 1})

        await fill(shared(redis), stack, ADA, 3)


async def test_without_redis_each_process_counts_its_own(local_valkey: LocalValkey) -> None:
    local_valkey.start()
    client = create_redis(RedisSettings(url=SecretStr(local_valkey.url)))
    slots = shared(client)
    answers = RedisAnswers(client, RedisSettings(), keep_seconds=600)
    async with AsyncExitStack() as stack:
        await fill(slots, stack, ADA, 1)
        local_valkey.stop()
        with capture_logs() as lines:
            await fill(slots, stack, ADA, 2)
            with pytest.raises(RateLimited):
                async with slots.take(ADA):
                    pass
            await answers.put(ADA, "f-1", ANSWER)
            assert await answers.find("f-1") is None
            assert await answers.claim(ADA, "k", "f-1")
            assert await answers.claim(ADA, "k", "f-2")
    await client.aclose(close_connection_pool=True)

    assert {line["event"] for line in lines} == {
        "transcription_slots_not_shared",
        "transcription_not_remembered",
        "transcription_not_looked_up",
        "transcription_key_not_looked_up",
    }


# --- ledger ---

START = CallStart(ADA, "stt.example", "whisper-1", "webm", audio_bytes=1234, audio_ms=2000)


async def rows(url: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch("SELECT * FROM agent_transcription ORDER BY id")]
    finally:
        await connection.close()


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[PostgresTranscriptionLedger]:
    engine = create_engine(DatabaseSettings(url=SecretStr(database_url)), application_name="test")
    yield PostgresTranscriptionLedger(create_session_factory(engine))
    await engine.dispose()


async def test_a_call_is_in_the_ledger_before_it_ends(
    ledger: PostgresTranscriptionLedger, database_url: str
) -> None:
    await ledger.open(START)

    (row,) = await rows(database_url)
    assert (row["tenant_id"], row["user_id"], row["provider"]) == ("t", "ada", "stt.example")
    assert (row["model"], row["audio_kind"], row["audio_bytes"]) == ("whisper-1", "webm", 1234)
    assert (row["audio_ms"], row["outcome"], row["cost"]) == (2000, "started", None)
    assert (row["cost_source"], row["currency"], row["ended_at"]) == ("unknown", "USD", None)
    assert row["created_at"].tzinfo is not None


async def test_the_end_of_a_call_is_written_to_its_row(
    ledger: PostgresTranscriptionLedger, database_url: str
) -> None:
    first, second = await ledger.open(START), await ledger.open(START)
    cost = Decimal("0.000000000001")
    await ledger.close(second, CallEnd("failed", 7, error_code="transcription-timeout"))
    await ledger.close(first, CallEnd("succeeded", 9, model="whisper-2", cost=cost, cost_source="engine"))

    one, two = await rows(database_url)
    assert (one["outcome"], one["latency_ms"], one["model"]) == ("succeeded", 9, "whisper-2")
    assert (one["cost"], one["cost_source"], one["error_code"]) == (cost, "engine", None)
    assert one["ended_at"] >= one["created_at"]
    assert (two["outcome"], two["cost"], two["error_code"]) == ("failed", None, "transcription-timeout")
    assert (two["model"], two["latency_ms"]) == ("whisper-1", 7)
