"""A subscription asks for a sign of life in the silences, and is given up when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import ConnectionPool
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from core.redis_client import LOST_ROUND, PING_ROUND, subscription_rounds

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
