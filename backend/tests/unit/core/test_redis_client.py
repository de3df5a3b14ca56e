"""A subscription asks for a sign of life in the silences, and is given up when there is none.

No command is written where nobody reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import ConnectionPool
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from core.config import RedisSettings
from core.redis_client import create_redis
from core.redis_kinds.subscription import LOST_ROUND, PING_ROUND, subscription_rounds

MESSAGE = {"type": "message", "channel": b"c", "data": b"1"}
PONG = {"type": "pong", "channel": None, "data": b""}


class Subscription(PubSub):
    """Hears what it is given, then nothing more."""

    def __init__(self, heard: Sequence[dict[str, Any] | None], *, answers: bool) -> None:
        super().__init__(ConnectionPool())
        self._heard = list(heard)
        self._answers = answers
        self.pings = 0

    async def get_message(
        self, ignore_subscribe_messages: bool = False, timeout: float | None = 0.0
    ) -> dict[str, Any] | None:
        return self._heard.pop(0) if self._heard else None

    async def ping(self, message: Any = None) -> bool:
        self.pings += 1
        if self._answers:
            self._heard.append(PONG)
        return True


async def test_a_silent_server_is_given_up_after_a_ping_and_not_before() -> None:
    subscription = Subscription([MESSAGE], answers=False)
    rounds = subscription_rounds(subscription)

    assert [await anext(rounds) for _ in range(LOST_ROUND + 1)] == [MESSAGE, *[None] * LOST_ROUND]
    with pytest.raises(RedisError, match="no answer to a ping"):
        await anext(rounds)
    assert subscription.pings == 1


async def test_a_server_that_answers_is_kept_for_ever_and_its_answers_are_no_messages() -> None:
    subscription = Subscription([], answers=True)
    rounds = subscription_rounds(subscription)

    assert [await anext(rounds) for _ in range(20 * PING_ROUND)] == [None] * 20 * PING_ROUND
    assert subscription.pings == 20


async def test_a_subscription_that_hears_something_is_not_asked() -> None:
    subscription = Subscription([*[None] * (PING_ROUND - 1), MESSAGE] * 20, answers=False)
    rounds = subscription_rounds(subscription)

    heard = [await anext(rounds) for _ in range(20 * PING_ROUND)]
    assert heard.count(MESSAGE) == 20
    assert subscription.pings == 0


async def test_a_command_for_a_connection_that_is_closing_fails_at_once() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            writer.write(b"+OK\r\n")
        writer.close()
        left.set()

    left = asyncio.Event()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    redis = create_redis(RedisSettings(url=SecretStr(f"redis://127.0.0.1:{port}/0")))
    connection = await redis.connection_pool.get_connection()
    try:
        writer = connection._writer
        assert writer is not None
        writer.transport.close()
        with pytest.raises(RedisConnectionError, match="closing"):
            await connection.send_command("PING", check_health=False)
        assert not connection.is_connected
    finally:
        await redis.connection_pool.release(connection)
        await redis.aclose(close_connection_pool=True)
        await left.wait()
        server.close()
