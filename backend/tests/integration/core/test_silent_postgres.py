"""Postgres goes silent: packets are dropped, nothing is refused or reset. Nothing may wait for it without a limit.

Everything speaks to Postgres through a proxy that swallows every byte. What hangs fails by ``HUNG_SECONDS``; nothing
here compares times. The same with whole processes: ``postgres_silent`` in ``tests/faults/test_recovery.py``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tests.faults.launcher import eventually
from tests.faults.proxy import FaultProxy
from tests.support.limits import HUNG_SECONDS

from agentroute import migrations, preflight
from agentroute.migrations import MigrationError
from agentroute.schema_state import schema
from core.agentscope.events.append_store import PostgresAppendStore
from core.agentscope.events.store import EventStore
from core.agentscope.runtime.work.leases import Leases
from core.agentscope.runtime.work.reaper import Reaper
from core.agentscope.schemas.cursor import Cursor
from core.config import DatabaseSettings, Settings
from core.database import create_engine
from core.direct_sql import fetch
from core.errors import StoreUnavailable
from core.gate import Gate
from core.store_clock import StoreClock
from core.store_failure import is_store_failure
from core.tcp_watch import OPTIONS

Work = Callable[["Ground"], Awaitable[object]]


class Ground:
    """A database behind a proxy, and an engine with short limits on it."""

    def __init__(self, proxy: FaultProxy, url: str, direct_url: str) -> None:
        self.proxy = proxy
        self.url = url
        self.direct_url = direct_url
        self.settings = Settings(
            database=DatabaseSettings(
                url=SecretStr(url),
                pool_size=6,
                pool_timeout_seconds=1,
                statement_timeout_seconds=0.5,
                silence_seconds=0.5,
            )
        )
        self.engine: AsyncEngine = create_engine(self.settings.database, application_name="test")
        self.append_store = PostgresAppendStore(self.settings.database, lease_seconds=30)

    async def through_busy_moments(self, work: Work) -> None:
        """Do something that has to work, with limits that a busy machine may exceed."""
        async with asyncio.timeout(HUNG_SECONDS):
            while True:
                try:
                    await work(self)
                except Exception as exc:
                    if not isinstance(exc, StoreUnavailable) and not is_store_failure(exc):
                        raise
                else:
                    return


@asynccontextmanager
async def behind_proxy(direct_url: str) -> AsyncIterator[Ground]:
    url = make_url(direct_url)
    host = url.host or str(url.query["host"])
    proxy = FaultProxy(host, url.port or int(str(url.query.get("port", 5432))))
    await proxy.open()
    through = url.set(host="127.0.0.1", port=proxy.port, query={})
    ground = Ground(proxy, through.render_as_string(hide_password=False), direct_url)
    try:
        yield ground
    finally:
        await proxy.close()
        await ground.engine.dispose()
        await ground.append_store.close()


@pytest.fixture
async def ground(database_url: str) -> AsyncIterator[Ground]:
    async with behind_proxy(database_url) as ground:
        yield ground


async def select(ground: Ground) -> None:
    async with ground.engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


async def select_directly(ground: Ground) -> None:
    await fetch(ground.engine, "SELECT 1")


async def claim(ground: Ground) -> None:
    assert await Leases(ground.engine, ground.settings, "worker", StoreClock()).claim(1) is None


async def append(ground: Ground) -> None:
    assert await ground.append_store.owned_seqs([(1, 1)]) == {}


async def patrol(ground: Ground) -> None:
    assert await EventStore(ground.engine, Gate(1, 1.0)).moved({1: Cursor.START}) == {1: None}


def _reaper(ground: Ground) -> Reaper:
    nothing: Any = None
    return Reaper(ground.engine, nothing, nothing, ground.settings, start_run=lambda *_run: True)


async def pick_up(ground: Ground) -> None:
    assert await _reaper(ground).pick_up() == 0


async def reap(ground: Ground) -> None:
    assert await _reaper(ground).reap() == 0


async def test_a_silent_server_is_an_outage_and_all_goes_on_when_it_is_back(ground: Ground) -> None:
    works = [select, select_directly, claim, append, patrol, pick_up, reap]
    await asyncio.gather(*(ground.through_busy_moments(work) for work in works))
    ground.proxy.swallow()

    # The first try has a connection of before, the second makes one.
    for _ in range(2):
        async with asyncio.timeout(HUNG_SECONDS):
            found = await asyncio.gather(*(work(ground) for work in works), return_exceptions=True)
        for work, error in zip(works, found, strict=True):
            assert isinstance(error, StoreUnavailable) or (
                isinstance(error, Exception) and is_store_failure(error)
            ), (work, error)

    await ground.proxy.heal()
    await asyncio.gather(*(ground.through_busy_moments(work) for work in works))


async def _begun(ground: Ground, connections: list[AsyncConnection]) -> AsyncConnection:
    connection = await ground.engine.connect()
    connections.append(connection)
    await connection.execute(text("CREATE TEMPORARY TABLE found (n int)"))
    return connection


@pytest.mark.parametrize("last", ["statement", "commit", "rollback", "close", "cancelled statement"])
async def test_no_step_of_a_transaction_waits_for_a_silent_server(database_url: str, last: str) -> None:
    async with behind_proxy(database_url) as ground:
        connections: list[AsyncConnection] = []
        await ground.through_busy_moments(lambda ground: _begun(ground, connections))
        connection = connections[-1]
        ground.proxy.swallow()

        async def step() -> None:
            if last == "commit":
                await connection.commit()
            elif last == "rollback":
                await connection.rollback()
            elif last == "close":
                await connection.close()
            else:
                await connection.execute(text("SELECT 1"))

        async with asyncio.timeout(HUNG_SECONDS):
            if last == "cancelled statement":
                task = asyncio.create_task(step())
                await asyncio.wait({task}, timeout=0.1)
                task.cancel()
                await asyncio.wait({task})
                assert task.cancelled() or task.exception() is not None
            else:
                with pytest.raises(Exception) as caught:  # noqa: PT011  any error that the judge knows
                    await step()
                assert is_store_failure(caught.value)
            await connection.close()
            # A process ends also while the server is silent.
            await ground.engine.dispose()


@pytest.mark.parametrize("ask", [select, select_directly])
async def test_one_silent_connection_gives_up_those_that_wait_in_the_pool(ground: Ground, ask: Work) -> None:
    async def all_three(ground: Ground) -> None:
        async with ground.engine.connect() as a, ground.engine.connect() as b, ground.engine.connect() as c:
            for connection in (a, b, c):
                await connection.execute(text("SELECT 1"))

    await ground.through_busy_moments(all_three)
    ground.proxy.swallow()
    with pytest.raises(TimeoutError):
        await ask(ground)
    await ground.proxy.heal()

    # None of the dead ones is handed out: the next statements succeed without a timeout in between.
    before = ground.proxy.forwarded_bytes
    await ground.through_busy_moments(all_three)
    assert ground.proxy.forwarded_bytes > before


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has the option")
async def test_the_kernel_watches_the_peer(ground: Ground) -> None:
    async with ground.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        sock = driver._transport.get_extra_info("socket")

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert {option: sock.getsockopt(socket.IPPROTO_TCP, option) for option in OPTIONS} == OPTIONS


async def test_a_migration_ends_when_the_server_goes_silent_while_it_waits_or_works(
    blank_database_url: str,
) -> None:
    # The lock of another migration holds this one, for as long as the test likes.
    other = await asyncpg.connect(blank_database_url, timeout=HUNG_SECONDS)
    async with behind_proxy(blank_database_url) as ground, asyncio.timeout(HUNG_SECONDS):
        await other.execute(f"SELECT pg_advisory_lock({migrations.LOCK})")
        migrating = asyncio.create_task(migrations.upgrade(ground.url, probe_seconds=0.2))
        await eventually(lambda: _is_connected(other))
        # It may wait for long on a server that lives.
        await asyncio.wait({migrating}, timeout=1)
        assert not migrating.done()

        ground.proxy.swallow()
        with pytest.raises(MigrationError, match="does not answer any more"):
            await migrating

        # What is left of it on the server goes with its connection, and the next one gets its turn.
        await ground.proxy.heal()
        ground.proxy.cut()
        await other.close()
        await migrations.upgrade(ground.url)
        assert await migrations.current(ground.url) == schema().revision


async def _is_connected(connection: asyncpg.Connection) -> bool:
    # It asks for the lock again and again, so no lock is seen to be waited for.
    found = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
        "agentroute-migrate",
    )
    return bool(found)


async def test_a_start_and_a_doctor_say_that_a_silent_server_does_not_answer(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "TIMEOUT_SECONDS", 0.5)
    ground.proxy.swallow()

    async with asyncio.timeout(HUNG_SECONDS):
        postgres, schema = await asyncio.gather(
            preflight.check_postgres(ground.settings), preflight.check_migrations(ground.settings)
        )

    assert not postgres.ok
    assert "does not answer" in postgres.found
    assert schema.line == "Migrations: the database cannot be read. Fix Postgres first."
