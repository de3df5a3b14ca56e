"""Open streams are counted from their beginning to their end, however they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.config import RateSettings
from core.errors import RateLimited
from core.identity import LOCAL, Principal
from v1.agent.event_stream import EventStreamResponse
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
            with places.take(principal) as place:
                streams.append(place.keep_for(frames()))
        except RateLimited as error:
            assert error.retry_after_seconds  # noqa: PT017  the loop ends here
            break
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


def test_a_place_is_taken_before_the_stream_is_opened_and_comes_back_if_it_never_is() -> None:
    room = places(user_streams=1)

    with room.take(ADA):
        # Another request, while the first one opens its stream.
        assert opened(room, ADA) == []
    with pytest.raises(ZeroDivisionError), room.take(ADA):
        raise ZeroDivisionError
    assert len(opened(room, ADA)) == 1


async def test_a_place_comes_back_when_the_frames_fail() -> None:
    room = places(user_streams=1)

    async def failing() -> AsyncIterator[bytes]:
        yield b"data\n\n"
        raise ZeroDivisionError

    with room.take(ADA) as place:
        response = EventStreamResponse(place.keep_for(failing()))

    async def never() -> Any:
        await asyncio.Event().wait()

    async def ignored(_: object) -> None:
        return

    await response({"type": "http"}, never, ignored)

    assert len(opened(room, ADA)) == 1


async def test_a_place_comes_back_when_the_client_is_gone_before_the_first_byte() -> None:
    room = places(user_streams=1)
    with room.take(ADA) as place:
        held = place.keep_for(frames())

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def ignored(_: object) -> None:
        return

    request = asyncio.create_task(EventStreamResponse(held)({"type": "http"}, gone, ignored))
    # One step: the response has made its tasks, and none of them has begun.
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert len(opened(room, ADA)) == 1


def test_without_limits_and_in_local_mode_streams_are_as_they_were() -> None:
    given = frames()

    for room, reader in ((places(), ADA), (places(user_streams=1), LOCAL)):
        with room.take(reader) as first, room.take(reader) as second:
            assert first.keep_for(given) is second.keep_for(given) is given
