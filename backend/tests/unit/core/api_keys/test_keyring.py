"""The check of API keys: what is good, what is remembered, and what a flood of made-up keys costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.api_keys import keyring as module
from core.api_keys.key_form import digest_of, new_key, new_key_id
from core.api_keys.keyring import REMEMBERED_SECONDS, KeyGrant, Keyring
from core.api_keys.stored_key import StoredKey
from core.errors import InvalidToken

NOW = datetime(2026, 11, 27, tzinfo=UTC)
ID = "4fQ2bX9mTz7K"
NEW, OLD = new_key(ID), new_key(ID)
HOUR = timedelta(hours=1)


def stored(key: str = NEW) -> StoredKey:
    return StoredKey(
        key_id=key[3:15],
        tenant_id="acme",
        user_id="robot",
        scopes=frozenset({"read"}),
        version=2,
        digest=digest_of(key),
        previous_digest=None,
        previous_until=None,
        expires_at=None,
        revoked_at=None,
    )


class Rows:
    """The rows of the database, and what was asked of them."""

    def __init__(self, *keys: StoredKey) -> None:
        self.keys = {key.key_id: key for key in keys}
        self.asked: list[list[str]] = []
        self.error: Exception | None = None
        self.reading = asyncio.Event()
        self.ticks = 1000.0
        self.now = NOW
        self.ring = Keyring(self.load, clock=lambda: self.now.timestamp(), ticks=lambda: self.ticks)

    async def load(self, key_ids: Sequence[str]) -> dict[str, StoredKey]:
        self.asked.append(list(key_ids))
        self.reading.set()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return {key_id: self.keys[key_id] for key_id in key_ids if key_id in self.keys}


async def test_a_good_key_says_whose_it_is() -> None:
    assert await Rows(stored()).ring.verify(NEW) == KeyGrant(
        ID, 2, "acme", "robot", frozenset({"read"}), None
    )


@pytest.mark.parametrize(
    ("change", "presented", "refusal"),
    [
        ({}, OLD, "not known"),
        ({"revoked_at": NOW - HOUR}, NEW, "revoked"),
        ({"expires_at": NOW}, NEW, "expired"),
        (
            {"revoked_at": NOW, "previous_digest": digest_of(OLD), "previous_until": NOW + HOUR},
            OLD,
            "revoked",
        ),
        ({"previous_digest": digest_of(OLD), "previous_until": NOW}, OLD, "rotated"),
        ({"previous_digest": digest_of(OLD), "previous_until": NOW}, new_key(ID), "not known"),
    ],
    ids=["another secret", "revoked", "expired", "revoked, older secret", "overlap over", "third secret"],
)
async def test_a_key_that_is_refused(change: dict[str, object], presented: str, refusal: str) -> None:
    ring = Rows(replace(stored(), **change)).ring

    with pytest.raises(InvalidToken, match=refusal):
        await ring.verify(presented)
    assert ring.take_uses() == {}


async def test_both_secrets_are_good_in_the_overlap_and_each_ends_at_its_time() -> None:
    until, end = NOW + HOUR, NOW + 5 * HOUR
    key = replace(stored(), previous_digest=digest_of(OLD), previous_until=until, expires_at=end)
    ring = Rows(key).ring

    old, new = await ring.verify(OLD), await ring.verify(NEW)
    assert (old.credential_id, old.valid_until) == (f"{ID}.1", until.timestamp())
    assert (new.credential_id, new.valid_until) == (f"{ID}.2", end.timestamp())


async def test_a_known_key_is_asked_for_once_in_thirty_seconds_and_a_revocation_is_seen_after_them() -> None:
    rows = Rows(stored())
    await rows.ring.verify(NEW)
    rows.keys[ID] = replace(stored(), revoked_at=NOW)
    rows.ticks += REMEMBERED_SECONDS - 0.1
    await rows.ring.verify(NEW)
    assert rows.asked == [[ID]]

    rows.ticks += 0.1
    with pytest.raises(InvalidToken, match="revoked"):
        await rows.ring.verify(NEW)


async def test_the_process_that_changes_a_key_sees_the_change_at_once() -> None:
    rows = Rows(stored())
    await rows.ring.verify(NEW)
    rows.keys[ID] = replace(stored(), revoked_at=NOW)
    rows.ring.forget(ID)

    with pytest.raises(InvalidToken, match="revoked"):
        await rows.ring.verify(NEW)


async def test_a_key_that_is_changed_while_it_is_read_is_read_again() -> None:
    rows = Rows(stored())
    reading = asyncio.create_task(rows.ring.verify(NEW))
    await rows.reading.wait()
    rows.ring.forget(ID)

    await reading
    assert rows.asked == [[ID], [ID]]


async def test_a_secret_that_was_made_elsewhere_is_good_before_the_thirty_seconds_are_over() -> None:
    rows = Rows(replace(stored(OLD), version=1))
    await rows.ring.verify(OLD)
    rows.keys[ID] = stored()
    rows.ticks += 1

    assert (await rows.ring.verify(NEW)).version == 2


async def test_a_wrong_secret_of_a_known_key_asks_once_a_second() -> None:
    rows = Rows(stored())
    for _ in range(10):
        with pytest.raises(InvalidToken):
            await rows.ring.verify(new_key(ID))

    assert len(rows.asked) == 1


async def test_made_up_keys_take_one_connection_and_push_out_no_real_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_UNKNOWN", 100)
    rows = Rows(stored())
    await rows.ring.verify(NEW)
    made_up = [new_key(new_key_id()) for _ in range(500)]

    refused = await asyncio.gather(*(rows.ring.verify(key) for key in made_up), return_exceptions=True)

    assert all(isinstance(error, InvalidToken) for error in refused)
    assert [len(asked) for asked in rows.asked] == [1, 200, 200, 100]
    # Remembered as unknown, to a bound: the newest of them.
    for key in made_up[-100:]:
        with pytest.raises(InvalidToken):
            await rows.ring.verify(key)
    await rows.ring.verify(NEW)
    assert len(rows.asked) == 4
    assert len(rows.ring._unknown) == 100


async def test_an_outage_is_no_answer_about_a_key() -> None:
    rows = Rows(stored())
    await rows.ring.verify(NEW)
    rows.error = OSError("away")
    await rows.ring.verify(NEW)
    rows.ticks += REMEMBERED_SECONDS
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await rows.ring.verify(NEW)
        with pytest.raises(OSError, match="away"):
            await rows.ring.ended([f"{ID}.2"])

    rows.error = None
    assert (await rows.ring.verify(NEW)).user_id == "robot"


async def test_which_credentials_have_ended_is_one_question() -> None:
    other, gone = new_key("aaaaaaaaaaaa"), new_key("bbbbbbbbbbbb")
    key = replace(stored(), previous_digest=digest_of(OLD), previous_until=NOW + HOUR)
    rows = Rows(key, replace(stored(other), revoked_at=NOW), stored(gone))
    del rows.keys["bbbbbbbbbbbb"]
    wanted = [f"{ID}.2", f"{ID}.1", f"{ID}.0", "aaaaaaaaaaaa.2", "bbbbbbbbbbbb.2"]

    assert await rows.ring.ended(wanted) == {f"{ID}.0", "aaaaaaaaaaaa.2", "bbbbbbbbbbbb.2"}
    assert len(rows.asked) == 1
    rows.now = NOW + HOUR
    assert f"{ID}.1" in await rows.ring.ended(wanted)
    assert await rows.ring.is_good(f"{ID}.2")


async def test_uses_are_taken_once() -> None:
    rows = Rows(stored())
    await rows.ring.verify(NEW)
    rows.now = NOW + HOUR
    await rows.ring.verify(NEW)

    assert rows.ring.take_uses() == {ID: NOW + HOUR}
    assert rows.ring.take_uses() == {}
