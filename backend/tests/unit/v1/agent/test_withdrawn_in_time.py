"""What is withdrawn ends its streams within a minute: the key of an issuer, an API key. On a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.limits import NEVER_SECONDS
from tests.support.token_issuer import TokenIssuer, public_jwk
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.api_keys.key_form import digest_of, new_key
from core.api_keys.keyring import Keyring
from core.api_keys.stored_key import StoredKey
from core.config import Settings
from core.identity import Authenticator, Principal
from core.identity_settings import IdentitySettings
from core.tokens.fetched_keys import FetchedKeys, KeysUnavailable
from core.tokens.issuer_http import ANSWER_SECONDS
from core.tokens.key_set import parse_key_set
from core.tokens.key_source import KeySource
from core.tokens.verifier import TokenVerifier
from v1.agent.credential_watch import CredentialWatch
from v1.agent.expiring_stream import until_expiry
from v1.agent.open_streams import REVOKED, SIGNER_WITHDRAWN, OpenStreams

MINUTE = 60.0
ROBOT = "robot1234567"


@pytest.fixture
def anyio_backend() -> Any:
    return VIRTUAL_CLOCK


class World:
    """An issuer, and a table of API keys, that the test changes."""

    def __init__(self) -> None:
        self.issuer = TokenIssuer("https://id.example")
        self.issuer.published = {"old": "ES256", "new": "ES256"}
        self.is_down = False
        self.revoked_at: datetime | None = None
        self.key = new_key(ROBOT)

    async def fetch(self, settings: IdentitySettings) -> FetchedKeys:
        # As late as an answer may come.
        answer = [public_jwk(kid, algorithm) for kid, algorithm in self.issuer.published.items()]
        await asyncio.sleep(ANSWER_SECONDS - 0.1)
        if self.is_down:
            raise KeysUnavailable("down")
        return FetchedKeys(parse_key_set({"keys": answer}, settings.jwt_algorithms), None, None)

    async def load(self, _key_ids: Sequence[str]) -> dict[str, StoredKey]:
        return {
            ROBOT: StoredKey(
                key_id=ROBOT,
                tenant_id="default",
                user_id="robot",
                scopes=frozenset({"read"}),
                version=1,
                digest=digest_of(self.key),
                previous_digest=None,
                previous_until=None,
                expires_at=None,
                revoked_at=self.revoked_at,
            )
        }


class Process:
    """What an API process has of credentials."""

    def __init__(self, world: World) -> None:
        clock = asyncio.get_running_loop().time
        settings = Settings(identity=world.issuer.settings())
        self.source = KeySource(settings.identity, world.fetch, clock)
        self.tokens = TokenVerifier(settings.identity, source=self.source)
        self.keys = Keyring(world.load, ticks=clock)
        self.authenticator = Authenticator(settings.identity, server=settings.server, keys=self.keys)
        self.authenticator._tokens = self.tokens
        self.streams = OpenStreams()
        tickets: Any = _NoTickets()
        self.watch = CredentialWatch(self.streams, self.keys, tickets, self.authenticator.is_withdrawn)

    async def open(self, credential: str) -> _Reading:
        principal = await self.authenticator.authenticate({"authorization": f"Bearer {credential}"})
        return _Reading(until_expiry(silence(), principal, self.streams))

    def open_by_ticket(self, of: Principal) -> _Reading:
        """Open a stream with a ticket that another process has given."""
        reader = Principal(of.tenant_id, of.user_id, of.valid_until, kind="ticket", signer=of.signer)
        return _Reading(until_expiry(silence(), reader, self.streams))


class _NoTickets:
    async def newest_uses(self, names: Sequence[str]) -> list[int]:
        return [0 for _ in names]


class _Reading:
    """A stream that is read to its end, and when that came."""

    def __init__(self, frames: AsyncIterator[bytes]) -> None:
        self.last = b""
        self.ended_at: float | None = None
        self.task = asyncio.create_task(self._read(frames))

    async def _read(self, frames: AsyncIterator[bytes]) -> None:
        async for self.last in frames:
            pass
        self.ended_at = now()


async def silence() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.Event().wait()


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def running(process: Process) -> AsyncIterator[None]:
    loops = [
        asyncio.create_task(process.authenticator.run(process.watch.look_soon)),
        asyncio.create_task(process.watch.run()),
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.wait(loops)


@pytest.mark.parametrize("after_seconds", [1.0, 17.0, 33.0, 44.0, 300.0])
async def test_a_signing_key_that_its_issuer_withdraws_ends_the_streams_of_its_tokens(
    after_seconds: float,
) -> None:
    world = World()
    process = Process(world)
    async with running(process):
        await asyncio.sleep(ANSWER_SECONDS)
        old, new = [
            await process.open(world.issuer.token(kid, "ES256", **lasting())) for kid in ("old", "new")
        ]
        await asyncio.sleep(after_seconds)
        del world.issuer.published["old"]
        withdrawn_at = now()

        await asyncio.wait_for(old.task, NEVER_SECONDS)

        assert old.last == SIGNER_WITHDRAWN
        assert old.ended_at is not None
        assert old.ended_at - withdrawn_at <= MINUTE
        await asyncio.sleep(3 * MINUTE)
        assert (new.ended_at, new.last) == (None, b"first")
        new.task.cancel()


def lasting() -> dict[str, int]:
    return {"iat": int(time.time()), "exp": int(time.time()) + 86_000}


async def test_an_issuer_that_is_down_ends_no_stream_and_withdraws_when_it_is_back() -> None:
    world = World()
    process = Process(world)
    async with running(process):
        await asyncio.sleep(ANSWER_SECONDS)
        old = await process.open(world.issuer.token("old", "ES256", **lasting()))
        del world.issuer.published["old"]
        world.is_down = True
        # Longer than the keys are good: nobody is let in, and nobody said that the key is withdrawn.
        await asyncio.sleep(3 * 3600)
        assert process.source.keys is None
        assert old.ended_at is None
        world.is_down = False
        back_at = now()

        await asyncio.wait_for(old.task, NEVER_SECONDS)

        assert old.ended_at is not None
        # The pause after many failures, and two answers that come late: one was on its way.
        assert old.ended_at - back_at <= MINUTE + 2 * ANSWER_SECONDS


async def test_a_ticket_depends_on_the_key_of_the_token_that_asked_for_it_at_another_process() -> None:
    world = World()
    here, there = Process(world), Process(world)
    async with running(there):
        await asyncio.sleep(ANSWER_SECONDS)
        asked = await there.authenticator.authenticate(
            {"authorization": f"Bearer {world.issuer.token('old', 'ES256', **lasting())}"}
        )
    del world.issuer.published["old"]
    # This process begins when the key is gone: it has never seen it.
    async with running(here):
        await asyncio.sleep(ANSWER_SECONDS)
        opened_at = now()
        reading = here.open_by_ticket(asked)

        await asyncio.wait_for(reading.task, NEVER_SECONDS)

        assert reading.last == SIGNER_WITHDRAWN
        assert reading.ended_at is not None
        # The first look asks about the key, the next fetch misses it.
        assert reading.ended_at - opened_at <= 15 + MINUTE
        assert asked.signer is not None
        assert here.authenticator.is_withdrawn(asked.signer)


async def test_a_key_that_is_newer_than_ours_is_not_withdrawn() -> None:
    world = World()
    here, there = Process(world), Process(world)
    async with running(here):
        await asyncio.sleep(ANSWER_SECONDS)
        world.issuer.published["newest"] = "ES256"
        async with running(there):
            await asyncio.sleep(ANSWER_SECONDS)
            asked = await there.authenticator.authenticate(
                {"authorization": f"Bearer {world.issuer.token('newest', 'ES256', **lasting())}"}
            )
        reading = here.open_by_ticket(asked)
        await asyncio.sleep(5 * MINUTE)
        assert reading.ended_at is None
        reading.task.cancel()


@pytest.mark.parametrize("after_seconds", [0.0, 14.0, 29.0, 31.0, 100.0])
async def test_an_api_key_that_is_revoked_elsewhere_ends_its_streams(after_seconds: float) -> None:
    world = World()
    process = Process(world)
    async with running(process):
        reading = await process.open(world.key)
        await asyncio.sleep(after_seconds)
        world.revoked_at = datetime.now(UTC)
        revoked_at = now()

        await asyncio.wait_for(reading.task, NEVER_SECONDS)

        assert reading.last == REVOKED
        assert reading.ended_at is not None
        assert reading.ended_at - revoked_at <= MINUTE
