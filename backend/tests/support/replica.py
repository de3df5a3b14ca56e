"""A real Postgres with a real streaming replica, from the suite's binaries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
from tests.support.stack import eventually

from agentroute import migrations
from agentroute.embedded.child_process import ChildProcess
from agentroute.embedded.local_postgres import DATABASE, LocalPostgres

_SMALL = {"shared_buffers": "32MB", "fsync": "off", "io_method": "sync"}


class Standby(LocalPostgres):
    """A replica of another server, made by ``pg_basebackup``."""

    def __init__(self, data_dir: Path, primary: LocalPostgres) -> None:
        super().__init__(data_dir, settings=_SMALL)
        self._primary = primary

    def _initialize(self) -> None:
        source = f"host={_socket_of(self._primary)} port=5432 user=postgres dbname={DATABASE}"
        self._run("pg_basebackup", "-D", str(self._cluster), "-d", source, "-X", "stream", "-c", "fast", "-R")

    def _is_ready(self, child: ChildProcess) -> bool:
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # A standby that answers reads says so.
        return len(lines) > 7 and lines[0] == str(child.pid) and lines[7].strip() in {"ready", "standby"}


class ReplicatedPostgres:
    """A primary, its replica, and one URL that leads to whichever takes writes."""

    def __init__(self, primary: LocalPostgres, replica: Standby) -> None:
        self.primary = primary
        self.replica = replica

    @property
    def url(self) -> str:
        """Of the database, at whichever server takes writes."""
        hosts = ",".join(quote(str(_socket_of(server))) for server in (self.primary, self.replica))
        return f"postgresql://postgres@/{DATABASE}?host={hosts}&port=5432,5432&target_session_attrs=primary"

    async def on(self, server: LocalPostgres, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Send a statement to one of the two."""
        connection = await asyncpg.connect(server.url)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    async def caught_up(self) -> None:
        """Wait until the replica has all that the primary has committed."""
        [row] = await self.on(self.primary, "SELECT pg_current_wal_flush_lsn()::text AS place")
        await self._until(
            self.replica, "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn AS done", row["place"]
        )

    async def wait_for_replica(self) -> None:
        """Let each commit wait until the replica has it: a failover loses none."""
        await self.on(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        await self.on(self.primary, "SELECT pg_reload_conf()")

    async def cut(self) -> None:
        """Let the replica get nothing more."""
        await self.on(self.replica, "ALTER SYSTEM SET primary_conninfo = ''")
        await self.on(self.replica, "SELECT pg_reload_conf()")
        await self._until(self.replica, "SELECT count(*) = 0 AS done FROM pg_stat_wal_receiver")

    async def fail_over(self) -> None:
        """Kill the primary, and let the replica take its place."""
        self.primary.kill()
        await self.on(self.replica, "SELECT pg_promote(true)")

    async def _until(self, server: LocalPostgres, sql: str, *arguments: Any) -> None:
        async def done() -> bool:
            return bool((await self.on(server, sql, *arguments))[0]["done"])

        await eventually(done)


def _socket_of(server: LocalPostgres) -> Path:
    return server._sockets()


@asynccontextmanager
async def replicated(folder: Path, **settings: str) -> AsyncIterator[ReplicatedPostgres]:
    """Run a migrated primary and its replica.

    Args:
        folder: Of these two alone, with a short path.
        settings: Of the primary.
    """
    with LocalPostgres(folder / "a", settings={**_SMALL, **settings}) as primary:
        await migrations.upgrade(primary.url)
        with Standby(folder / "b", primary) as replica:
            yield ReplicatedPostgres(primary, replica)
