"""What only Postgres promises: passwords on TCP, versions, and running for root."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.support.ports import reserved_port
from tests.support.processes import is_alive

from agentroute.embedded import unprivileged
from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_server import LocalServerError

_as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root needs a way to run Postgres"
)


async def _select(url: str, expression: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(f"SELECT {expression}"))
    finally:
        await connection.close()


def _wait_until_it_computes(process: psutil.Process) -> None:
    while process.cpu_times().user < 0.1:
        time.sleep(0.01)


async def test_sqlalchemy_reads_the_socket_url(tmp_path: Path) -> None:
    with LocalPostgres(tmp_path / "a b%20c") as server:
        engine = create_async_engine(server.url.replace("postgresql://", "postgresql+asyncpg://"))
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT current_database()")) == "agentroute"
        await engine.dispose()


async def test_tcp_asks_for_the_password(local_postgres: LocalPostgres) -> None:
    url = local_postgres.start()
    assert await _select(url, "1") == "1"

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url.replace(local_postgres._password(), "wrong"))


async def test_the_database_is_durable_utf8_and_in_utc(local_postgres: LocalPostgres) -> None:
    url = local_postgres.start()

    assert await _select(url, "current_setting('fsync')") == "on"
    assert await _select(url, "current_setting('server_encoding')") == "UTF8"
    assert await _select(url, "current_setting('timezone')") == "UTC"


async def test_settings_can_be_overridden(tmp_path: Path) -> None:
    with LocalPostgres(tmp_path / "pg", settings={"max_connections": "7"}) as server:
        assert await _select(server.url, "current_setting('max_connections')") == "7"


def test_the_postgres_variables_of_the_shell_change_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGDATA", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")

    with LocalPostgres(tmp_path / "pg") as server:
        assert server.running


def test_data_of_another_major_version_is_refused(tmp_path: Path) -> None:
    with LocalPostgres(tmp_path / "pg") as server:
        version = server.data_dir / "data" / "PG_VERSION"
    version.write_text("15\n")

    with pytest.raises(
        LocalServerError, match="made by Postgres 15 and this version includes 18: dump the data"
    ):
        server.start()


def test_an_interrupted_first_start_is_begun_anew(tmp_path: Path) -> None:
    half = tmp_path / "pg" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    with LocalPostgres(tmp_path / "pg") as server:
        assert server.running
    assert not half.exists()


@pytest.mark.parametrize("tcp", [False, True], ids=["socket", "tcp"])
def test_lock_files_that_name_a_live_process_do_not_stop_it(tmp_path: Path, tcp: bool) -> None:
    """After a kill the id may be a zombie's, or in a container soon another program's."""
    server = LocalPostgres(tmp_path / "pg", port=reserved_port() if tcp else None)
    server.start()
    server.kill()
    parent = psutil.Process(os.getppid())
    stranger = parent.parent() or parent
    for lock in (tmp_path / "pg" / "data" / "postmaster.pid", *(tmp_path / "pg" / "socket").glob(".*.lock")):
        _, _, rest = lock.read_text().partition("\n")
        lock.write_text(f"{stranger.pid}\n{rest}")

    with server:
        assert server.running


async def test_a_query_that_outlives_its_server_does_not_stop_the_next(local_postgres: LocalPostgres) -> None:
    url = local_postgres.start()
    busy = await asyncpg.connect(url)
    backend = psutil.Process(busy.get_server_pid())
    query = asyncio.create_task(busy.execute("SELECT count(*) FROM generate_series(1, 10000000000)"))
    await asyncio.to_thread(_wait_until_it_computes, backend)

    local_postgres.kill()
    assert backend.is_running()

    local_postgres.start()
    assert not is_alive(backend)
    with pytest.raises(asyncpg.PostgresConnectionError):
        await query


@_as_root
def test_for_root_it_runs_in_a_user_namespace(local_postgres: LocalPostgres) -> None:
    local_postgres.start()
    assert local_postgres.pid is not None

    assert psutil.Process(local_postgres.pid).uids().effective == 0
    namespace = Path(f"/proc/{local_postgres.pid}/ns/user").readlink()
    assert namespace != Path("/proc/self/ns/user").readlink()


@_as_root
async def test_for_root_without_namespaces_it_runs_as_nobody_and_back(
    monkeypatch: pytest.MonkeyPatch, local_postgres: LocalPostgres
) -> None:
    """The same data, below a directory only root may enter, one way and then the other."""
    local_postgres.start()
    local_postgres.stop()
    works = unprivileged._works

    with monkeypatch.context() as patch:
        patch.setattr(unprivileged, "_works", lambda prefix: prefix[0] != "unshare" and works(prefix))
        blocked = LocalPostgres(local_postgres.data_dir, port=reserved_port())
        with blocked:
            assert blocked.pid is not None
            assert psutil.Process(blocked.pid).uids().effective == unprivileged.NOBODY
            assert await _select(blocked.url, "1") == "1"

    assert await _select(local_postgres.start(), "1") == "1"


@_as_root
def test_root_without_any_way_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, local_postgres: LocalPostgres
) -> None:
    monkeypatch.setattr(unprivileged, "_works", lambda _prefix: False)

    with pytest.raises(LocalServerError, match="run as an ordinary user, or set AGENT_DATABASE__URL"):
        local_postgres.start()
