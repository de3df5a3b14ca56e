"""One contract, two servers: what LocalPostgres and LocalValkey promise about data, crashes and ownership."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port
from tests.support.processes import is_alive

from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_server import LocalServer, LocalServerError
from agentroute.embedded.local_valkey import LocalValkey

# Starts a server, tells its URL and process id, and then waits to be killed.
_OWNER = """
import sys
from pathlib import Path
from agentroute.embedded import child_process
from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_valkey import LocalValkey

kind, directory, kernel_helps = sys.argv[1:]
if kernel_helps == "no":
    child_process._has_parent_death_signal = lambda: False
server = {"LocalPostgres": LocalPostgres, "LocalValkey": LocalValkey}[kind](Path(directory))
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


class Notebook:
    """Keeps one value in a server, whichever kind it is."""

    def write(self, url: str, value: str) -> None:
        if url.startswith("postgresql"):
            asyncio.run(
                self._sql(url, f"CREATE TABLE IF NOT EXISTS note AS SELECT '{value}' AS value"),
            )
        else:
            with redis.Redis.from_url(url) as client:
                client.set("note", value)

    def read(self, url: str) -> str | None:
        if url.startswith("postgresql"):
            return asyncio.run(self._sql(url, "SELECT value FROM note"))
        with redis.Redis.from_url(url, decode_responses=True) as client:
            value = client.get("note")
            assert value is None or isinstance(value, str)
            return value

    async def _sql(self, url: str, statement: str) -> str | None:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture(params=[LocalPostgres, LocalValkey])
def kind(request: pytest.FixtureRequest) -> type[LocalPostgres | LocalValkey]:
    return request.param


@pytest.fixture
def server(kind: type[LocalPostgres | LocalValkey], tmp_path: Path) -> Iterator[LocalServer]:
    """On TCP; the servers of the session and of the long path are on sockets."""
    server = kind(tmp_path / "server", port=reserved_port())
    yield server
    server.stop()


@pytest.fixture
def start_owner(
    kind: type[LocalPostgres | LocalValkey], tmp_path: Path
) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], int]]]:
    """Start another process that owns a server; returns it and the server's process id."""
    owners: list[subprocess.Popen[str]] = []

    def start(kernel_helps: str) -> tuple[subprocess.Popen[str], int]:
        owner = subprocess.Popen(
            [sys.executable, "-c", _OWNER, kind.__name__, str(tmp_path / "server"), kernel_helps],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        owners.append(owner)
        assert owner.stdout is not None
        return owner, int(owner.stdout.readline())

    yield start
    for owner in owners:
        owner.kill()
        with owner:
            pass


def wait_until(condition: Callable[[], bool], timeout_seconds: float = HUNG_SECONDS) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


def test_data_survives_a_restart_at_the_same_url(server: LocalServer, notebook: Notebook) -> None:
    url = server.start()
    notebook.write(url, "kept")

    assert server.restart() == url
    assert notebook.read(url) == "kept"


def test_data_survives_a_crash_of_the_server(server: LocalServer, notebook: Notebook) -> None:
    url = server.start()
    notebook.write(url, "kept")

    server.kill()
    assert not server.running
    assert server.start() == url
    assert notebook.read(url) == "kept"


def test_a_stopped_server_leaves_no_process_and_no_pid_file(server: LocalServer) -> None:
    server.start()
    assert server.pid is not None
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]

    server.stop()

    assert not any(is_alive(process) for process in processes)
    assert not server.pid_path.exists()
    assert not server.running


def test_start_and_stop_may_be_repeated(server: LocalServer) -> None:
    assert server.start() == server.start()
    server.stop()
    server.stop()


def test_only_the_owner_can_read_the_directory_and_the_password(server: LocalServer) -> None:
    server.start()

    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.data_dir / "password").stat().st_mode) == 0o600
    assert server.pid is not None
    assert server._password() not in " ".join(psutil.Process(server.pid).cmdline())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the parent-death signal")
def test_the_server_dies_with_its_owner(
    start_owner: Callable[[str], tuple[subprocess.Popen[str], int]],
) -> None:
    owner, pid = start_owner("yes")
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]

    owner.kill()

    wait_until(lambda: not any(is_alive(process) for process in processes))


def test_what_a_killed_owner_left_running_is_replaced(
    start_owner: Callable[[str], tuple[subprocess.Popen[str], int]],
    kind: type[LocalPostgres | LocalValkey],
    tmp_path: Path,
    notebook: Notebook,
) -> None:
    owner, pid = start_owner("no")
    notebook.write(kind(tmp_path / "server").url, "kept")
    owner.kill()
    owner.wait()
    left_over = psutil.Process(pid)
    assert is_alive(left_over)

    with kind(tmp_path / "server") as server:
        assert not is_alive(left_over)
        assert server.pid != pid
        assert notebook.read(server.url) == "kept"


@pytest.mark.parametrize("kind", [LocalPostgres], indirect=True)
def test_a_postgres_without_our_pid_file_is_found_all_the_same(
    start_owner: Callable[[str], tuple[subprocess.Popen[str], int]], tmp_path: Path
) -> None:
    """The owner may die between starting Postgres and writing the pid file."""
    owner, pid = start_owner("no")
    (tmp_path / "server" / "server.pid").unlink()
    owner.kill()
    owner.wait()

    with LocalPostgres(tmp_path / "server") as server:
        assert server.pid != pid


def test_a_reused_process_id_is_left_alone(server: LocalServer) -> None:
    server.start()
    server.kill()
    server.pid_path.write_text(f"{os.getpid()}\n")

    server.start()

    assert server.running


def test_a_directory_has_one_owner(
    start_owner: Callable[[str], tuple[subprocess.Popen[str], int]],
    kind: type[LocalPostgres | LocalValkey],
    tmp_path: Path,
) -> None:
    start_owner("yes")

    with pytest.raises(LocalServerError, match="in use by another running instance: stop that one"):
        kind(tmp_path / "server").start()


def test_a_taken_port_is_named(kind: type[LocalPostgres | LocalValkey], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LocalServerError, match=f"port {port} on 127.0.0.1 is in use") as caught:
            kind(tmp_path / "server", port=port).start()
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_named(
    kind: type[LocalPostgres | LocalValkey], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LocalServerError, match=r"Not a directory: .*file"):
        kind(tmp_path / "file" / "server").start()


def test_a_long_path_gets_a_short_socket(
    kind: type[LocalPostgres | LocalValkey], tmp_path: Path, notebook: Notebook
) -> None:
    directory = tmp_path / ("a long name with spaces " * 5) / "server"
    with kind(directory) as server:
        url = server.url
        notebook.write(url, "kept")

        assert server.restart() == url
        assert notebook.read(url) == "kept"
        short = server._socket_dir("x" * 20)
        assert not short.is_relative_to(tmp_path)
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
    assert not short.exists()


def test_a_socket_directory_of_somebody_else_is_not_used(
    kind: type[LocalPostgres | LocalValkey], tmp_path: Path
) -> None:
    server = kind(tmp_path / ("a long name " * 10))
    short = server._socket_dir("x" * 20)
    short.mkdir(mode=0o777)
    short.chmod(0o777)

    try:
        with pytest.raises(LocalServerError, match="is open to other users: remove it"):
            server.start()
    finally:
        short.rmdir()
