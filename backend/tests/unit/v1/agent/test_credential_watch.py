"""Streams end with the key or the ticket that opened them, and others stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import pytest
from tests.support.failing_engine import AWAY
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS

from core.credential_errors import TicketsUnavailable
from core.identity import CredentialKind, Principal
from core.stream_tickets import TicketUse
from v1.agent.credential_watch import CredentialWatch
from v1.agent.expiring_stream import EXPIRED, until_expiry
from v1.agent.open_streams import REVOKED, TAKEN_OVER, OpenStreams

ADA = Principal("t", "ada")


def reader(key: str | None, kind: CredentialKind = "key") -> Principal:
    return Principal("t", "robot", kind=kind, credential_id=key)


def use(number: int, name: str = "hash") -> TicketUse:
    return TicketUse(name, number, reader(None, "ticket"))


async def silence() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.sleep(NEVER_SECONDS)


class Credentials:
    """What the database and Redis know."""

    def __init__(self) -> None:
        self.ended_keys: set[str] = set()
        self.uses: dict[str, int] = {}
        self.asked: list[list[str]] = []
        self.error: Exception | None = None
        self.forgotten: list[str] = []

    async def ended(self, keys: Iterable[str]) -> set[str]:
        self.asked.append(list(keys))
        if self.error is not None:
            raise self.error
        return self.ended_keys

    async def newest_uses(self, names: Sequence[str]) -> list[int]:
        if self.error is not None:
            raise self.error
        return [self.uses.get(name, 0) for name in names]

    def forget(self, key_id: str) -> None:
        self.forgotten.append(key_id)


@pytest.fixture
def known() -> Credentials:
    return Credentials()


@pytest.fixture
def streams() -> OpenStreams:
    return OpenStreams()


@pytest.fixture
def watch(streams: OpenStreams, known: Credentials) -> CredentialWatch:
    sources: Any = known
    return CredentialWatch(streams, sources, sources)


async def last_line(stream: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(HUNG_SECONDS):
        return [frame async for frame in stream][-1]


async def test_a_look_ends_the_streams_of_ended_keys_and_no_other(
    watch: CredentialWatch, streams: OpenStreams, known: Credentials
) -> None:
    opened = {
        name: until_expiry(silence(), principal, streams)
        for name, principal in {
            "a": reader("key.1"),
            "b": reader("key.1"),
            "ticket": reader("key.1", "ticket"),
            "rotated": reader("key.2"),
        }.items()
    }
    steps = {name: asyncio.create_task(last_line(stream)) for name, stream in opened.items()}
    await asyncio.sleep(0)
    known.ended_keys = {"key.1"}

    await watch.look()

    for name in ("a", "b", "ticket"):
        assert await steps[name] == REVOKED
    assert not steps["rotated"].done()
    # One question for the process, whatever the number of streams.
    assert [sorted(asked) for asked in known.asked] == [["key.1", "key.2"]]
    steps["rotated"].cancel()


async def test_a_stream_of_a_token_is_not_watched(watch: CredentialWatch, known: Credentials) -> None:
    frames = silence()

    assert until_expiry(frames, ADA, OpenStreams()) is frames
    await watch.look()
    assert known.asked == []


async def test_the_next_use_of_a_ticket_takes_the_stream_over(streams: OpenStreams) -> None:
    first = until_expiry(silence(), reader(None, "ticket"), streams, ticket=use(1))
    step = asyncio.create_task(last_line(first))
    await asyncio.sleep(0)
    second = until_expiry(silence(), reader(None, "ticket"), streams, ticket=use(2))

    assert await step == TAKEN_OVER
    assert await anext(second) == b"first"
    # One that was opened more slowly than its successor.
    assert (
        await last_line(until_expiry(silence(), reader(None, "ticket"), streams, ticket=use(1))) == TAKEN_OVER
    )
    assert streams.tickets() == {"hash": 2}


async def test_a_ticket_that_is_used_at_another_process_ends_its_stream_here(
    watch: CredentialWatch, streams: OpenStreams, known: Credentials
) -> None:
    here = until_expiry(silence(), reader(None, "ticket"), streams, ticket=use(1))
    lost = until_expiry(silence(), reader(None, "ticket"), streams, ticket=use(1, "lost"))
    step = asyncio.create_task(last_line(here))
    await asyncio.sleep(0)
    # Redis has forgotten the other ticket: its stream stays until the ticket would have ended.
    known.uses = {"hash": 2}

    await watch.look()

    assert await step == TAKEN_OVER
    assert await anext(lost) == b"first"


@pytest.mark.parametrize(
    "error", [AWAY, TicketsUnavailable(), ValueError("ours")], ids=["store", "redis", "fault"]
)
async def test_a_look_that_fails_ends_nothing(
    watch: CredentialWatch, streams: OpenStreams, known: Credentials, error: Exception
) -> None:
    stream = until_expiry(silence(), reader("key.1"), streams)
    known.error = error

    await watch.look()

    assert await anext(stream) == b"first"
    known.error, known.ended_keys = None, {"key.1"}
    await watch.look()
    assert await last_line(stream) == REVOKED


async def test_a_key_that_is_changed_here_is_looked_at_at_once(
    watch: CredentialWatch, streams: OpenStreams, known: Credentials
) -> None:
    stream = until_expiry(silence(), reader("key.1"), streams)
    looking = asyncio.create_task(watch.run())
    step = asyncio.create_task(last_line(stream))
    await asyncio.sleep(0)
    known.ended_keys = {"key.1"}

    watch.key_changed("key")

    assert await step == REVOKED
    assert known.forgotten == ["key"]
    looking.cancel()


async def test_streams_that_are_gone_are_not_asked_for(streams: OpenStreams) -> None:
    stream = until_expiry(silence(), reader("key.1"), streams, ticket=use(1))
    assert (streams.keys(), streams.tickets()) == (["key.1"], {"hash": 1})
    del stream

    assert (streams.keys(), streams.tickets()) == ([], {})


async def test_a_key_that_never_expires_ends_no_stream_by_itself(streams: OpenStreams) -> None:
    assert await anext(until_expiry(silence(), reader("key.1"), streams)) == b"first"
    soon = Principal("t", "robot", time.time() - 1, kind="key", credential_id="key.1")
    assert await last_line(until_expiry(silence(), soon, streams)) == EXPIRED
