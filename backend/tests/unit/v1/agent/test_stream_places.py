"""Open streams are counted from their beginning to their end, however they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from core.config import RateSettings
from core.errors import RateLimited
from core.identity import LOCAL, Principal
from v1.agent.parking import close
from v1.agent.stream_places import StreamPlaces

ADA, EVE, OTHER = Principal("t", "ada"), Principal("t", "eve"), Principal("u", "ada")


async def frames(count: int = 1) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"data\n\n"


def places(**settings: int) -> StreamPlaces:
    return StreamPlaces(RateSettings.model_validate({"user_streams": 0} | settings))


def opened(places: StreamPlaces, principal: Principal, most: int = 10) -> list[AsyncIterator[bytes]]:
    streams: list[AsyncIterator[bytes]] = []
    for _ in range(most):
        try:
            places.check(principal)
        except RateLimited as error:
            assert error.retry_after_seconds  # noqa: PT017  the loop ends here
            break
        streams.append(places.hold(principal, frames()))
    return streams


def test_users_and_tenants_have_places_of_their_own() -> None:
    room = places(user_streams=2, tenant_streams=3)
    streams = [opened(room, who) for who in (ADA, EVE, OTHER)]

    assert [len(found) for found in streams] == [2, 1, 2]


async def test_a_stream_leaves_its_place_when_it_ends_is_closed_or_is_forgotten() -> None:
    room = places(user_streams=3)
    streams: list[Any] = opened(room, ADA)
    assert opened(room, ADA) == []

    assert [frame async for frame in streams[0]] == [b"data\n\n"]
    await close(streams[1])
    await close(streams[1])
    del streams[2]

    assert len(opened(room, ADA)) == 3


def test_without_limits_and_in_local_mode_streams_are_as_they_were() -> None:
    given = frames()

    assert places().hold(ADA, given) is given
    assert places(user_streams=1).hold(LOCAL, given) is given
    places(user_streams=1).check(LOCAL)
