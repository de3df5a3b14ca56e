"""Users' connections over a real Postgres: whose they are, who changes them, who waits, what cannot be read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from tests.support.limits import HUNG_SECONDS

from core.config import DatabaseSettings
from core.connections import rotation
from core.connections.rotation import rotate
from core.connections.store import ConnectionStore
from core.connections.vault import Vault
from core.database import create_engine
from core.errors import ConfigurationError, StoreUnavailable
from core.identity import Principal

ADA, EVE = Principal("t", "ada"), Principal("t", "eve")
HERE, THERE = "https://mcp.example.com/mcp", "https://elsewhere.example.com/mcp"
OLD, NEW = os.urandom(32), os.urandom(32)
PAST, FUTURE = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    settings = DatabaseSettings(url=SecretStr(database_url), pool_size=4)
    engine = create_engine(settings, application_name="test")
    yield engine
    await engine.dispose()


@pytest.fixture
def store(engine: AsyncEngine) -> ConnectionStore:
    return ConnectionStore(engine, Vault([OLD]))


async def sql(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return list(result.all()) if result.returns_rows else []


async def secret(store: ConnectionStore, user: Principal = ADA, resource: str = HERE) -> str | None:
    found = await store.find(user, "github", resource)
    return None if found is None else found.secret


async def test_a_connection_is_its_users_for_one_server_at_one_address(store: ConnectionStore) -> None:
    saved = await store.save(ADA, "github", HERE, "user-token", "first")
    assert (saved.server, saved.kind, saved.state, saved.expires_at) == (
        "github",
        "user-token",
        "connected",
        None,
    )
    assert await secret(store) == "first"
    assert await secret(store, EVE) is None
    assert await secret(store, Principal("other", "ada")) is None
    assert await secret(store, resource=THERE) is None
    assert await store.find(ADA, "gitlab", HERE) is None

    # Another address: one connection, and what the old address had is gone.
    again = await store.save(ADA, "github", THERE, "oauth", "second", expires_at=PAST, renewable=True)
    assert again.connected_at > saved.connected_at
    assert await secret(store) is None
    assert await secret(store, resource=THERE) == "second"

    assert not await store.forget(EVE, "github")
    assert await store.forget(ADA, "github")
    assert not await store.forget(ADA, "github")
    assert await store.list_all(ADA) == []


async def test_the_list_says_who_has_to_connect_anew(store: ConnectionStore) -> None:
    await store.save(ADA, "a", HERE, "user-token", "x", expires_at=PAST)
    await store.save(ADA, "b", HERE, "oauth", "x", expires_at=PAST, renewable=True)
    await store.save(ADA, "c", HERE, "user-token", "x", expires_at=FUTURE)
    await store.save(ADA, "d", HERE, "user-token", "x")
    await store.save(EVE, "e", HERE, "user-token", "x")
    refused = await store.find(ADA, "d", HERE)
    assert refused is not None
    assert await store.refuse(ADA, refused)

    states = {known.server: known.state for known in await store.list_all(ADA)}

    assert states == {"a": "expired", "b": "connected", "c": "connected", "d": "refused"}
    found = await store.find(ADA, "a", HERE)
    assert found is not None
    assert not found.is_usable


async def test_a_late_refusal_does_not_touch_a_new_connection(store: ConnectionStore) -> None:
    await store.save(ADA, "github", HERE, "user-token", "first")
    seen = await store.find(ADA, "github", HERE)
    assert seen is not None
    await store.save(ADA, "github", HERE, "user-token", "second")

    assert not await store.refuse(ADA, seen)
    found = await store.find(ADA, "github", HERE)
    assert found is not None
    assert found.is_usable


async def test_a_row_that_does_not_open_is_no_connection_and_told_once(
    engine: AsyncEngine, store: ConnectionStore
) -> None:
    await store.save(ADA, "github", HERE, "user-token", "canary-token")
    await store.save(EVE, "github", HERE, "user-token", "hers")
    # A row that somebody copied, or moved to an address of his own, opens for nobody.
    await sql(
        engine,
        """
        UPDATE agent_connection AS e SET sealed = a.sealed FROM agent_connection AS a
        WHERE a.user_id = 'ada' AND e.user_id = 'eve'
        """,
    )
    await sql(engine, "UPDATE agent_connection SET resource = :there WHERE user_id = 'ada'", there=THERE)
    with capture_logs() as lines:
        for _ in range(3):
            assert await secret(store, EVE) is None
            assert await secret(store, ADA, THERE) is None
            async with store.locked(EVE, "github", HERE) as held:
                assert held.connection is None
                assert await held.replace("new") is None
    assert [line["event"] for line in lines] == ["connection_unreadable"] * 2
    assert "canary" not in repr(lines)

    # The key is gone: nothing is listed, everything can be forgotten, and the user can connect anew.
    other = ConnectionStore(engine, Vault([NEW]))
    assert await other.list_all(EVE) == []
    await other.save(EVE, "github", HERE, "user-token", "anew")
    assert await secret(other, EVE) == "anew"
    without = ConnectionStore(engine, Vault([]))
    with pytest.raises(ConfigurationError):
        await without.save(EVE, "github", HERE, "user-token", "x")
    assert await without.list_all(EVE) == []
    assert await without.forget(EVE, "github")


async def test_one_refreshes_and_all_others_find_what_it_wrote(engine: AsyncEngine) -> None:
    # As many processes as there are stores: they share the database only.
    stores = [ConnectionStore(engine, Vault([OLD])) for _ in range(3)]
    await stores[0].save(ADA, "github", HERE, "oauth", "old", expires_at=PAST, renewable=True)
    refreshes = 0

    async def use(store: ConnectionStore) -> str | None:
        nonlocal refreshes
        async with store.locked(ADA, "github", HERE, patience_seconds=HUNG_SECONDS) as held:
            assert held.connection is not None
            if held.connection.secret == "old":
                refreshes += 1
                # More wait than there are connections in the pool: none of them holds one.
                await sql(engine, "SELECT 1")
                assert await held.replace("new", expires_at=FUTURE) is held.connection
            return held.connection.secret

    assert set(await asyncio.gather(*(use(store) for store in stores for _ in range(20)))) == {"new"}
    assert refreshes == 1
    assert await secret(stores[1]) == "new"
    assert await sql(engine, "SELECT lease_until FROM agent_connection") == [(None,)]


async def test_a_refresh_does_not_undo_what_the_user_does_meanwhile(store: ConnectionStore) -> None:
    await store.save(ADA, "github", HERE, "oauth", "old", renewable=True)
    async with store.locked(ADA, "github", HERE) as held:
        await store.save(ADA, "github", HERE, "user-token", "by hand")
        assert await held.replace("refreshed") is None
        await held.refuse()
    assert await secret(store) == "by hand"
    async with store.locked(ADA, "github", HERE) as held:
        await store.forget(ADA, "github")
        assert await held.replace("refreshed") is None
    assert await secret(store) is None
    async with store.locked(ADA, "github", HERE) as held:
        assert held.connection is None


async def test_a_refresh_that_failed_leaves_the_row_free_and_one_that_died_for_a_while_only(
    engine: AsyncEngine, store: ConnectionStore
) -> None:
    await store.save(ADA, "github", HERE, "oauth", "old", renewable=True)
    with pytest.raises(RuntimeError, match="no answer"):
        async with store.locked(ADA, "github", HERE):
            raise RuntimeError("no answer")

    other = ConnectionStore(engine, Vault([OLD]))
    async with store.locked(ADA, "github", HERE) as dead:
        with pytest.raises(StoreUnavailable):
            async with other.locked(ADA, "github", HERE, patience_seconds=0):
                pass
        with pytest.raises(StoreUnavailable):
            async with store.locked(ADA, "github", HERE, patience_seconds=0):
                pass
        await sql(engine, "UPDATE agent_connection SET lease_until = clock_timestamp()")
        async with other.locked(ADA, "github", HERE) as held:
            assert await held.replace("theirs") is not None
            # The first one comes back to life, and writes nothing over it.
            assert await dead.replace("late") is None
    assert await secret(store) == "theirs"


async def test_a_result_that_was_committed_without_an_answer_is_written_once_more(
    engine: AsyncEngine, store: ConnectionStore
) -> None:
    await store.save(ADA, "github", HERE, "oauth", "old", renewable=True)
    async with store.locked(ADA, "github", HERE) as held:
        seen = held.connection
        assert await held.replace("new") is not None
        # As after an outage: the statement again, with what was seen before it.
        held.connection = seen
        assert await held.replace("new") is not None
    assert await secret(store) == "new"


async def test_a_rotation_makes_an_old_key_superfluous(engine: AsyncEngine, store: ConnectionStore) -> None:
    lost = ConnectionStore(engine, Vault([os.urandom(32)]))
    both = ConnectionStore(engine, Vault([NEW, OLD]))
    for number in range(120):
        await store.save(ADA, f"old-{number}", HERE, "oauth", f"token {number}")
    await both.save(EVE, "new", HERE, "user-token", "token")
    await lost.save(EVE, "lost", HERE, "user-token", "token")
    before = await sql(engine, "SELECT version, updated_at FROM agent_connection ORDER BY id")

    done = await rotate(engine, Vault([NEW, OLD]))

    assert (done.values, done.written, done.unreadable) == (122, 120, 1)
    only_new = ConnectionStore(engine, Vault([NEW]))
    for number in range(120):
        found = await only_new.find(ADA, f"old-{number}", HERE)
        assert found is not None
        assert found.secret == f"token {number}"
    assert [known.server for known in await only_new.list_all(EVE)] == ["new"]
    # For a user, nothing has happened; and a second time there is nothing to do.
    assert await sql(engine, "SELECT version, updated_at FROM agent_connection ORDER BY id") == before
    assert (await rotate(engine, Vault([NEW, OLD]))).written == 0
    with pytest.raises(ConfigurationError):
        await rotate(engine, Vault([]))


async def test_a_rotation_does_not_undo_a_refresh(
    engine: AsyncEngine, store: ConnectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.save(ADA, "github", HERE, "oauth", "old", renewable=True)
    vault = Vault([NEW, OLD])
    page = rotation._page

    async def refreshed_after(*arguments: Any) -> Any:
        rows = await page(*arguments)
        async with store.locked(ADA, "github", HERE) as held:
            await held.replace("refreshed")
        return rows

    monkeypatch.setattr(rotation, "_page", refreshed_after)
    assert (await rotate(engine, vault)).written == 0
    assert await secret(ConnectionStore(engine, vault)) == "refreshed"


async def test_every_column_that_is_sealed_is_rotated(engine: AsyncEngine) -> None:
    sealed = await sql(
        engine, "SELECT table_name FROM information_schema.columns WHERE column_name = 'sealed' ORDER BY 1"
    )

    assert [table.name for table in rotation.SEALED_TABLES] == [row.table_name for row in sealed]
