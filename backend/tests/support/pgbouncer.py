"""A real PgBouncer: the system's, ``TEST_PGBOUNCER``, or the one that ``script/pgbouncer`` unpacked."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from tests.support.limits import HUNG_SECONDS

from agentroute.embedded.child_process import ChildProcess
from agentroute.embedded.unprivileged import as_nobody

ROOT = Path(__file__).parents[3]
_MISSING = "no PgBouncer here: nothing checks that the service works through one. script/pgbouncer brings one"
_PORT = 6432  # only part of the socket's name


def pgbouncer_program() -> str:
    """Return the program; without one the test is skipped with a reason, and fails where ``CI`` is set."""
    unpacked = ROOT / ".tools" / "pgbouncer"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    program = os.environ.get("TEST_PGBOUNCER") or shutil.which("pgbouncer", path=path)
    program = program or (str(unpacked) if unpacked.exists() else None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(_MISSING)
        pytest.skip(_MISSING)
    return program


class PgBouncer:
    """A pooler in front of a Postgres on a unix socket. As a context manager it runs; ``kill`` and ``start`` it anew.

    Args:
        folder: Of this pooler alone, with a path that is short enough for a unix socket.
        server_url: Of Postgres.
        pool_mode: ``transaction``, ``session`` or ``statement``.
        pool_size: Connections to Postgres for each database.
    """

    def __init__(
        self, folder: Path, server_url: str, *, pool_mode: str = "transaction", pool_size: int = 4
    ) -> None:
        self._folder = folder
        self._server = make_url(server_url)
        self._pool_mode = pool_mode
        self._pool_size = pool_size
        self._child: ChildProcess | None = None

    def url(self, direct_url: str) -> str:
        """Return the URL of a database through the pooler."""
        return self._url_of(make_url(direct_url).database or "")

    async def admin(self, command: str) -> None:
        """Tell the pooler something on its console, such as ``RECONNECT``."""
        connection = await asyncpg.connect(self._url_of("pgbouncer"))
        try:
            await connection.execute(command)
        finally:
            connection.terminate()

    async def start(self) -> None:
        """Start, and wait until it answers."""
        way = as_nobody()
        if way is None:
            pytest.skip("PgBouncer refuses to run as root, and there is no way to another user here")
        self._folder.mkdir(exist_ok=True)
        (self._folder / "users.txt").write_text('"postgres" ""\n')
        (self._folder / "pgbouncer.ini").write_text(self._configuration())
        self._child = ChildProcess(
            [pgbouncer_program(), str(self._folder / "pgbouncer.ini")],
            log_path=self._folder / "log",
            pid_path=self._folder / "pid",
            prefix=way.prefix,
        )
        async with asyncio.timeout(HUNG_SECONDS):
            while True:
                assert self._child.running, self._child.tail()
                try:
                    await self.admin("SHOW VERSION")
                except (OSError, asyncpg.PostgresError):
                    await asyncio.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        """End it at once, with every connection."""
        assert self._child is not None
        self._child.kill()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.stop([(signal.SIGTERM, 10.0)])

    def _url_of(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self._folder))}&port={_PORT}"

    def _configuration(self) -> str:
        query = self._server.query
        return f"""\
[databases]
* = host={query["host"]} port={query["port"]} user=postgres
[pgbouncer]
listen_addr =
listen_port = {_PORT}
unix_socket_dir = {self._folder}
auth_type = trust
auth_file = {self._folder}/users.txt
admin_users = postgres
pool_mode = {self._pool_mode}
default_pool_size = {self._pool_size}
max_client_conn = 500
server_login_retry = 1
"""
