"""The rows of API keys over a real Postgres: whose they are, how they end, and what a rotation leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.api_keys import key_store
from core.api_keys.keeper import IssuedKey, KeyKeeper
from core.api_keys.key_form import digest_of
from core.api_keys.key_store import KeyStore
from core.api_keys.keyring import Keyring
from core.config import DatabaseSettings
from core.credential_errors import KeyEnded
from core.database import create_engine
from core.errors import InvalidToken, LimitExceeded, NotFound

DAY = timedelta(days=1)
SOON = timedelta(minutes=1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(
        DatabaseSettings(url=SecretStr(database_url), pool_size=2), application_name="test"
    )
    yield engine
    await engine.dispose()


@pytest.fixture
def store(engine: AsyncEngine) -> KeyStore:
    return KeyStore(engine)


@pytest.fixture
def keeper(store: KeyStore) -> KeyKeeper:
    return KeyKeeper(store)


async def sql(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return list(result.all()) if result.returns_rows else []


async def make(keeper: KeyKeeper, user: str = "robot", tenant: str = "t", **more: Any) -> IssuedKey:
    return await keeper.create(tenant_id=tenant, user_id=user, by="cli:ops", **more)


async def test_a_key_is_stored_as_its_hash_and_says_who_made_it(
    keeper: KeyKeeper, store: KeyStore, engine: AsyncEngine
) -> None:
    issued = await make(keeper, name="Every night", scopes=["run", "agent:sales", "run"])

    known = issued.known
    assert (known.scopes, known.created_by, known.state) == (("agent:sales", "run"), "cli:ops", "live")
    assert known.expires_at is not None
    assert abs(known.expires_at - known.created_at - 90 * DAY) < SOON
    row = str(await sql(engine, "SELECT agent_api_key::text FROM agent_api_key"))
    assert issued.key not in row
    assert issued.key[16:] not in row
    assert digest_of(issued.key).hex() in row
    assert (await make(keeper, days=None)).known.expires_at is None
    grant = await Keyring(store.load).verify(issued.key)
    assert (grant.tenant_id, grant.user_id, grant.scopes) == ("t", "robot", {"run", "agent:sales"})
    assert grant.valid_until == known.expires_at.timestamp()


async def test_a_tenant_sees_its_own_keys_in_pages(keeper: KeyKeeper, engine: AsyncEngine) -> None:
    made = [(await make(keeper, user)).known for user in ("a", "b", "a", "c")]
    other = (await make(keeper, tenant="other")).known
    await keeper.revoke("t", made[1].key_id, by="user:ada")
    await sql(engine, "UPDATE agent_api_key SET expires_at = now() WHERE key_id = :id", id=made[3].key_id)

    def ids(found: list[Any]) -> list[str]:
        return [known.key_id for known in found]

    everything = await keeper.page("t", ended=True, limit=10)
    assert ids(everything) == ids(made[::-1])
    assert [known.state for known in everything] == ["expired", "live", "revoked", "live"]
    assert ids(await keeper.page("t", limit=10)) == ids([made[2], made[0]])
    assert ids(await keeper.page("t", user_id="b", ended=True, limit=10)) == ids([made[1]])
    first = await keeper.page("t", ended=True, limit=3)
    rest = await keeper.page("t", ended=True, limit=3, before=(first[-1].created_at, first[-1].key_id))
    assert ids([*first, *rest]) == ids(everything)
    assert set(ids(await keeper.page(None, limit=10))) == set(ids([made[0], made[2], other]))

    for change in (
        lambda: keeper.revoke("t", other.key_id, by="user:eve"),
        lambda: keeper.rotate("t", other.key_id, by="user:eve"),
    ):
        with pytest.raises(NotFound):
            await change()


async def test_the_first_revocation_stays_and_ends_the_key_for_ever(
    keeper: KeyKeeper, store: KeyStore
) -> None:
    issued = await make(keeper)
    first = await keeper.revoke("t", issued.known.key_id, by="user:ada")
    again = await keeper.revoke(None, issued.known.key_id, by="cli:ops")

    assert (again.revoked_by, again.revoked_at, again.state) == ("user:ada", first.revoked_at, "revoked")
    with pytest.raises(InvalidToken, match="revoked"):
        await Keyring(store.load).verify(issued.key)
    with pytest.raises(KeyEnded):
        await keeper.rotate("t", issued.known.key_id, by="user:ada")


async def test_a_rotated_key_has_two_secrets_for_the_overlap(keeper: KeyKeeper, store: KeyStore) -> None:
    first = await make(keeper, days=30)
    key_id = first.known.key_id
    second = await keeper.rotate("t", key_id, by="user:ada", overlap_seconds=3600)
    ring = Keyring(store.load)

    assert second.known.rotated_at is not None
    assert second.known.previous_until is not None
    assert second.known.expires_at is not None
    assert second.known.rotated_by == "user:ada"
    assert abs(second.known.previous_until - second.known.rotated_at - timedelta(hours=1)) < SOON
    # It lasts as long as the one before was to last.
    assert abs(second.known.expires_at - second.known.rotated_at - 30 * DAY) < SOON
    assert (await ring.verify(first.key)).credential_id == f"{key_id}.1"
    assert (await ring.verify(second.key)).credential_id == f"{key_id}.2"

    # Again within the overlap, and without one: only the newest is good.
    third = await keeper.rotate("t", key_id, by="user:ada", overlap_seconds=0, days=1)
    ring = Keyring(store.load)
    assert third.known.previous_until is None
    for old in (first, second):
        with pytest.raises(InvalidToken):
            await ring.verify(old.key)
    assert (await ring.verify(third.key)).version == 3
    assert await ring.ended([f"{key_id}.1", f"{key_id}.2", f"{key_id}.3"]) == {f"{key_id}.1", f"{key_id}.2"}


async def test_an_overlap_is_no_longer_than_the_key_would_have_lasted(
    keeper: KeyKeeper, engine: AsyncEngine
) -> None:
    known = (await make(keeper)).known
    end = datetime.now(UTC) + timedelta(minutes=5)
    await sql(engine, "UPDATE agent_api_key SET expires_at = :end", end=end)
    assert (await keeper.rotate("t", known.key_id, by="user:ada")).known.previous_until == end
    never = (await make(keeper, days=None)).known
    assert (await keeper.rotate("t", never.key_id, by="user:ada")).known.expires_at is None
    await sql(engine, "UPDATE agent_api_key SET expires_at = now()")
    with pytest.raises(KeyEnded):
        await keeper.rotate("t", known.key_id, by="user:ada")


async def test_a_tenant_has_a_number_of_live_keys(keeper: KeyKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_store, "MOST_OF_A_TENANT", 2)
    first = (await make(keeper)).known
    await make(keeper)

    with pytest.raises(LimitExceeded):
        await make(keeper)
    await make(keeper, tenant="other")
    await keeper.revoke("t", first.key_id, by="cli:ops")
    await make(keeper)


async def test_the_last_use_is_written_once_a_minute_and_never_goes_back(
    keeper: KeyKeeper, store: KeyStore
) -> None:
    key_id = (await make(keeper)).known.key_id
    start = datetime.now(UTC)

    async def used(at: datetime) -> datetime | None:
        await store.note_uses({key_id: at, "nosuchkey123": at})
        found = await store.find("t", key_id)
        return found and found.last_used_at

    assert await used(start) == start
    assert await used(start + timedelta(seconds=40)) == start
    assert await used(start + SOON) == start + SOON
    assert await used(start) == start + SOON
