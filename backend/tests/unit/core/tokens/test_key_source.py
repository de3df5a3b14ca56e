"""When keys are fetched: by the loop, and never by a crowd of requests."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from tests.support.limits import HUNG_SECONDS
from tests.support.token_issuer import TokenIssuer, public_jwk

from core.identity_settings import IdentitySettings
from core.tokens import key_source
from core.tokens.fetched_keys import FetchedKeys, KeysUnavailable
from core.tokens.key_set import parse_key_set
from core.tokens.key_source import KeySource

SETTINGS = TokenIssuer("https://id.example").settings(jwks_refresh_seconds=600)


def answer(*kids: str, max_age: float | None = None) -> FetchedKeys:
    keys = parse_key_set({"keys": [public_jwk(kid, "ES256") for kid in kids]}, ["ES256"])
    return FetchedKeys(keys, max_age, None)


class Issuer:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.found: FetchedKeys | Exception = answer("k-1")

    async def fetch(self, _settings: IdentitySettings) -> FetchedKeys:
        self.asked += 1
        self.was_asked.set()
        await self.answers.wait()
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def source(self) -> KeySource:
        return KeySource(SETTINGS, self.fetch, lambda: self.now)


async def test_requests_that_come_before_the_first_answer_share_one_fetch() -> None:
    issuer = Issuer()
    source = issuer.source()
    waiting = [asyncio.create_task(source.first_keys()) for _ in range(20)]
    await issuer.was_asked.wait()
    issuer.answers.set()

    found = await asyncio.wait_for(asyncio.gather(*waiting), HUNG_SECONDS)

    assert issuer.asked == 1
    assert all(keys is not None for keys in found)


async def test_a_request_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_source, "PATIENCE_SECONDS", 0.001)
    issuer = Issuer()
    source = issuer.source()

    assert await asyncio.wait_for(source.first_keys(), HUNG_SECONDS) is None
    # The fetch goes on for those who come later.
    issuer.answers.set()
    monkeypatch.setattr(key_source, "PATIENCE_SECONDS", HUNG_SECONDS)
    assert await source.first_keys() is not None
    assert issuer.asked == 1


async def test_a_request_that_is_given_up_leaves_the_fetch_to_the_others() -> None:
    issuer = Issuer()
    source = issuer.source()
    left, stayed = (asyncio.create_task(source.first_keys()) for _ in range(2))
    await issuer.was_asked.wait()
    left.cancel()
    with suppress(asyncio.CancelledError):
        await left
    issuer.answers.set()

    assert await asyncio.wait_for(stayed, HUNG_SECONDS) is not None
    assert issuer.asked == 1


@pytest.mark.parametrize(
    ("max_age", "good_until"), [(None, 600 + 3600), (120, 120 + 3600), (1, 30 + 3600), (10**8, 600 + 3600)]
)
async def test_how_long_keys_are_good(max_age: float | None, good_until: float) -> None:
    issuer = Issuer()
    issuer.answers.set()
    issuer.found = answer("k-1", max_age=max_age)
    source = issuer.source()
    await source.first_keys()

    issuer.now = good_until
    assert source.keys is not None
    issuer.now += 1
    assert source.keys is None


async def test_a_failure_replaces_nothing_and_an_answer_replaces_everything() -> None:
    issuer = Issuer()
    issuer.answers.set()
    source = issuer.source()
    await source.first_keys()
    assert source.generation == 1

    for found, kids, generation in (
        (KeysUnavailable("down"), ["k-1"], 1),
        (RuntimeError("a mistake"), ["k-1"], 1),
        (answer("k-1"), ["k-1"], 1),
        (answer("k-2"), ["k-2"], 2),
    ):
        issuer.now += 11
        issuer.found = found
        keys = await source.newer_keys()
        assert keys is not None
        assert (keys.kids, source.generation) == (kids, generation)


async def test_the_loop_fetches_before_the_keys_are_old_and_again_soon_after_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = Issuer()
    issuer.answers.set()
    source = issuer.source()
    pauses: list[float] = []
    outcomes = iter([KeysUnavailable("down"), KeysUnavailable("down"), answer("k-1")])

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if (outcome := next(outcomes, None)) is None:
            raise asyncio.CancelledError
        issuer.found = outcome

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with suppress(asyncio.CancelledError):
        await source.run()

    first, failed, failed_again, recovered = pauses
    assert 450 <= first <= 540
    assert 3.75 <= failed <= 5
    assert 7.5 <= failed_again <= 10
    assert 450 <= recovered <= 540
    assert issuer.asked == 4
