"""Tickets of event streams over a real Redis: for one stream, once opened in time, for as long as it lasts."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from core.config import RedisSettings
from core.credential_errors import TicketInvalid
from core.identity import Principal
from core.redis_client import create_redis
from core.stream_tickets import FIRST_USE_SECONDS, StreamTickets

ADA = Principal("t", "ada", scopes=frozenset({"run", "read", "admin", "agent:sales"}))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    redis = create_redis(RedisSettings(url=SecretStr(redis_url)))
    yield redis
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def tickets(redis: Redis) -> StreamTickets:
    return StreamTickets(redis, RedisSettings(), lasts_seconds=900)


def name_of(ticket: str) -> str:
    return f"agentroute:ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"


async def test_a_ticket_permits_to_read_one_stream_and_nothing_of_it_is_stored(
    redis: Redis, tickets: StreamTickets
) -> None:
    ticket = await tickets.issue(ADA, "t-1", "r-1")

    others = [key for key in await redis.keys() if ":owned:" not in str(key)]
    assert others == [name_of(ticket).encode()]
    assert ticket not in str(await redis.hvals(name_of(ticket)))
    assert 0 < await redis.ttl(name_of(ticket)) <= FIRST_USE_SECONDS
    use = await tickets.use(ticket, "t-1", "r-1")
    assert (use.number, use.principal, use.principal.kind) == (1, ADA, "ticket")
    assert use.principal.scopes == {"read", "agent:sales"}
    assert use.principal.valid_until == pytest.approx(time.time() + 900, abs=60)


@pytest.mark.parametrize(("thread", "run"), [("t-2", "r-1"), ("t-1", "r-2"), ("t-1", None), ("", None)])
async def test_a_ticket_for_another_stream_is_not_used_up(
    redis: Redis, tickets: StreamTickets, thread: str, run: str | None
) -> None:
    ticket = await tickets.issue(ADA, "t-1", "r-1")

    with pytest.raises(TicketInvalid):
        await tickets.use(ticket, thread, run)
    assert await redis.ttl(name_of(ticket)) <= FIRST_USE_SECONDS
    assert (await tickets.use(ticket, "t-1", "r-1")).number == 1


@pytest.mark.parametrize(
    "ticket", ["", "art_", "art_" + "a" * 43, "art_" + "a" * 10_000, "eyJ", "art_\ud800"]
)
async def test_what_is_no_ticket_opens_nothing(tickets: StreamTickets, ticket: str) -> None:
    with pytest.raises(TicketInvalid):
        await tickets.use(ticket, "t-1", None)


async def test_the_first_use_sets_the_end_and_the_next_ones_keep_it(
    redis: Redis, tickets: StreamTickets
) -> None:
    ticket = await tickets.issue(ADA, "t-1", None)
    uses = await asyncio.gather(*(tickets.use(ticket, "t-1", None) for _ in range(10)))
    assert sorted(use.number for use in uses) == list(range(1, 11))
    assert await redis.ttl(name_of(ticket)) > FIRST_USE_SECONDS

    await redis.expire(name_of(ticket), 100)
    later = await tickets.use(ticket, "t-1", None)
    assert later.principal.valid_until == pytest.approx(time.time() + 100, abs=60)
    assert await tickets.newest_uses([later.name, "gone"]) == [11, 0]

    await redis.delete(name_of(ticket))
    with pytest.raises(TicketInvalid):
        await tickets.use(ticket, "t-1", None)


async def test_a_ticket_is_not_better_than_what_it_was_made_with(tickets: StreamTickets) -> None:
    ends = time.time() + 60
    key = Principal("t", "robot", ends, kind="key", credential_id="4fQ2bX9mTz7K.1")
    token = Principal("t", "ada", time.time() - 1, kind="token", credential_id="a-jti")

    made = (await tickets.use(await tickets.issue(key, "t-1", None), "t-1", None)).principal
    assert (made.valid_until, made.credential_id) == (ends, "4fQ2bX9mTz7K.1")
    with pytest.raises(TicketInvalid):
        await tickets.use(await tickets.issue(token, "t-1", None), "t-1", None)
    endless = Principal("t", "ada", kind="token", credential_id="a-jti")
    assert (
        await tickets.use(await tickets.issue(endless, "t-1", None), "t-1", None)
    ).principal.credential_id is None
