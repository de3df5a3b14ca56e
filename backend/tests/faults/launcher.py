"""A whole service of real processes that can be killed, stopped and cut off one by one.

``Ground`` is what outlives a test: one Postgres, one Valkey, the scripted model
and the process that forks. ``Plot`` is one test's service on it, with a database
and Redis keys of its own, so that many can run side by side. Every process of a
plot reaches the servers through proxies of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import asyncpg
import httpx
import jwt
import orjson
import uvicorn
from redis.asyncio import Redis
from sqlalchemy.engine import make_url
from tests.faults.effects import LOG_VARIABLE
from tests.faults.model import Gates, create_model_app
from tests.faults.proxy import FaultProxy
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port
from tests.support.scratch_databases import ScratchDatabases

from agentroute.embedded.child_process import dying_with_parent
from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_valkey import LocalValkey
from core.crash_points import VARIABLE as CRASH_POINT

BACKEND = Path(__file__).parents[2]
PROFILES = Path(__file__).with_name("agents")
AGENTS = ("built-in", "own")
"""The agents of every service: one of a profile, and the same as a user's own code. The first is the default."""
SECRET = "a-secret-of-more-than-thirty-two-bytes"
_EXPIRE = """
UPDATE agent_run AS r SET lease_until = clock_timestamp()
FROM unnest($1::bigint[], $2::smallint[]) AS o(id, attempt)
WHERE r.id = o.id AND r.attempt = o.attempt AND r.status = 'running' RETURNING r.id
"""
Role = Literal["api", "worker"]
Value = TypeVar("Value")


async def eventually(
    condition: Callable[[], Awaitable[Value]] | Callable[[], Value],
    seconds: float = HUNG_SECONDS,
    *,
    pause_seconds: float = 0.05,
) -> Value:
    """Return the first true value of a condition that is looked at again and again.

    Raises:
        TimeoutError: It never came.
    """
    async with asyncio.timeout(seconds):
        while True:
            found: Any = condition()
            value: Value = await found if inspect.isawaitable(found) else found
            if value:
                return value
            await asyncio.sleep(pause_seconds)


class Node:
    """One API process or worker, and the proxies through which it sees the servers."""

    def __init__(
        self, name: str, role: Role, log_path: Path, postgres: FaultProxy, redis: FaultProxy
    ) -> None:
        self.name = name
        self.role: Role = role
        self.log_path = log_path
        self.postgres = postgres
        self.redis = redis
        self.pid = 0
        self.exit_code: int | None = None
        self.exited = asyncio.Event()
        self.stopped = False
        """Whether SIGSTOP holds it."""
        self.was_stopped = False
        self.url = ""

    @property
    def running(self) -> bool:
        return self.exit_code is None

    @property
    def serving(self) -> bool:
        """Whether requests may be sent here."""
        return self.running and not self.stopped and bool(self.url)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            self.stopped = number == signal.SIGSTOP or (self.stopped and number != signal.SIGCONT)
            self.was_stopped = self.was_stopped or self.stopped

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        await self.wait()

    async def terminate(self, seconds: float = HUNG_SECONDS) -> float:
        """SIGTERM; returns how long the process needed to drain and end."""
        started = time.monotonic()
        self.send(signal.SIGTERM)
        await self.wait(seconds)
        return time.monotonic() - started

    async def wait(self, seconds: float = HUNG_SECONDS) -> int:
        """Wait for the end; returns the exit code, negative for a signal."""
        async with asyncio.timeout(seconds):
            await self.exited.wait()
        return self.exit_code or 0

    def log(self) -> list[dict[str, Any]]:
        """Return the log's lines that are JSON."""
        lines: list[dict[str, Any]] = []
        with contextlib.suppress(FileNotFoundError):
            for line in self.log_path.read_bytes().splitlines():
                with contextlib.suppress(orjson.JSONDecodeError):
                    value = orjson.loads(line)
                    if isinstance(value, dict):
                        lines.append(value)
        return lines

    def logged(self, event: str) -> dict[str, Any] | None:
        """Return the first log line of an event."""
        return next((line for line in self.log() if line.get("message") == event), None)

    async def ready(self) -> None:
        """Wait until it serves, or takes runs."""

        def look() -> bool:
            if not self.running:
                raise RuntimeError(
                    f"{self.name} ended with {self.exit_code}: {self.log_path.read_text()[-2000:]}"
                )
            line = self.logged("listening" if self.role == "api" else "worker_ready")
            if line is not None and self.role == "api":
                self.url = f"http://127.0.0.1:{line['port']}"
            # Its log may be faster than the word of who forked it; a signal to pid 0 would be one to us.
            return line is not None and self.pid != 0

        try:
            await eventually(look)
        except TimeoutError:
            raise RuntimeError(f"{self.name} is not ready: {self.log_path.read_text()[-2000:]}") from None


class Forker:
    """The process that has imported everything; see ``zygote``."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._by_name: dict[str, Node] = {}
        self._by_pid: dict[int, Node] = {}
        self._ready = asyncio.Event()

    async def start(self, log_path: Path) -> None:
        with log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *dying_with_parent([sys.executable, "-P", "-m", "tests.faults.zygote"], signal.SIGKILL),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(BACKEND), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(HUNG_SECONDS):
            await self._ready.wait()

    def fork(self, node: Node, env: Mapping[str, str], mutant: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._by_name[node.name] = node
        command = {
            "name": node.name,
            "role": node.role,
            "env": dict(env),
            "log": str(node.log_path),
            "mutant": mutant,
        }
        self._process.stdin.write(orjson.dumps(command) + b"\n")

    async def stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HUNG_SECONDS):
                    await self._process.wait()
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            word: dict[str, Any] = orjson.loads(line)
            if "ready" in word:
                self._ready.set()
            elif "exit" in word:
                node = self._by_pid.pop(word["pid"])
                node.exit_code = word["exit"]
                node.exited.set()
            else:
                node = self._by_name.pop(word["name"])
                node.pid = word["pid"]
                self._by_pid[node.pid] = node


class _Server(uvicorn.Server):
    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app, ws="none", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Ground:
    """Postgres, Valkey, the model and the forker, shared by plots. Use :func:`open_ground`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # fsync off: what a killed process wrote is kept all the same, and no test cuts the power.
        settings = {
            "shared_buffers": "32MB",
            "max_connections": "300",
            "fsync": "off",
            "full_page_writes": "off",
            "io_method": "sync",
        }
        self.postgres = LocalPostgres(directory / "postgres", port=reserved_port(), settings=settings)
        self.valkey = LocalValkey(directory / "valkey", port=reserved_port())
        self.databases: ScratchDatabases | None = None
        self.forker = Forker()
        self.gates = Gates()
        self.model_url = ""
        self.model_lines: list[dict[str, Any]] = []
        self.numbers = 0
        self._lending = asyncio.Lock()
        """``ScratchDatabases`` serves one caller at a time."""

    def next_name(self, kind: str) -> str:
        self.numbers += 1
        return f"{kind}{self.numbers}"

    async def _open(self, exits: AsyncExitStack) -> None:
        self.postgres.start()
        exits.callback(self.postgres.stop)
        self.valkey.start()
        exits.callback(self.valkey.stop)
        self.databases = exits.enter_context(ScratchDatabases(self.postgres.url))
        await exits.enter_async_context(self._serving_model())
        await self.forker.start(self.directory / "zygote.log")
        exits.push_async_callback(self.forker.stop)

    @asynccontextmanager
    async def _serving_model(self) -> AsyncIterator[None]:
        server = _Server(create_model_app(self.model_lines.append, self.gates))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.model_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            task = asyncio.create_task(server.serve([listener]))
            try:
                await eventually(lambda: server.started)
                yield
            finally:
                server.should_exit = True
                await task

    @asynccontextmanager
    async def plot(
        self, variables: Mapping[str, str] | None = None, *, blank: bool = False, **env: str
    ) -> AsyncIterator[Plot]:
        """Open a service of one's own, without processes yet; ``variables`` and ``env`` go to all of them.

        Args:
            blank: Its database has no table yet.
        """
        assert self.databases is not None
        lent = self.databases.blank() if blank else self.databases.migrated()
        async with self._lending:
            url = await asyncio.to_thread(lent.__enter__)
        plot = Plot(self, self.next_name("plot"), url, {**(variables or {}), **env})
        try:
            yield plot
        finally:
            await plot.close()
            async with self._lending:
                await asyncio.to_thread(lent.__exit__, None, None, None)


@asynccontextmanager
async def open_ground(directory: Path) -> AsyncIterator[Ground]:
    """Start what plots share; call it from the main thread."""
    ground = Ground(directory)
    async with AsyncExitStack() as exits:
        await ground._open(exits)
        yield ground


class Plot:
    """One service: its processes, its database, its Redis keys and its records."""

    def __init__(self, ground: Ground, name: str, database_url: str, env: Mapping[str, str]) -> None:
        self.ground = ground
        self.name = name
        self.directory = ground.directory / name
        self.directory.mkdir()
        self.database_url = database_url
        self.key_prefix = f"faults-{name}"
        self.nodes: list[Node] = []
        self._env = dict(env)
        self._expiring: set[asyncio.Task[bool]] = set()
        self._idle: list[asyncpg.Connection] = []

    @property
    def apis(self) -> list[Node]:
        """The API processes that serve."""
        return [node for node in self.nodes if node.role == "api" and node.serving]

    @property
    def workers(self) -> list[Node]:
        """The workers that run, those held by SIGSTOP too."""
        return [node for node in self.nodes if node.role == "worker" and node.running]

    async def start(
        self,
        role: Role,
        *,
        crash_point: str = "",
        mutant: str = "",
        env: Mapping[str, str] | None = None,
        ready: bool = True,
    ) -> Node:
        """Start a process and, unless told otherwise, wait until it is ready."""
        node, variables = await self.place(role)
        variables |= env or {}
        if crash_point:
            variables[CRASH_POINT] = crash_point
        self.ground.forker.fork(node, variables, mutant)
        if ready:
            await node.ready()
        return node

    async def place(self, role: Role) -> tuple[Node, dict[str, str]]:
        """Return a process that is to be started, with its proxies, and its variables."""
        database, valkey = make_url(self.database_url), make_url(self.ground.valkey.url)
        postgres = FaultProxy("127.0.0.1", database.port or 0)
        redis = FaultProxy("127.0.0.1", valkey.port or 0)
        await postgres.open()
        await redis.open()
        name = self.ground.next_name(role)
        node = Node(name, role, self.directory / f"{name}.log", postgres, redis)
        self.nodes.append(node)
        variables = {
            **self._settings(),
            "AGENT_DATABASE__URL": database.set(port=postgres.port).render_as_string(hide_password=False),
            "AGENT_REDIS__URL": valkey.set(port=redis.port).render_as_string(hide_password=False),
            **self._env,
        }
        return node, variables

    def _settings(self) -> dict[str, str]:
        return {
            "AGENT_REDIS__KEY_PREFIX": self.key_prefix,
            "AGENT_DATABASE__POOL_SIZE": "5",
            "AGENT_MODEL__BASE_URL": self.ground.model_url,
            "AGENT_MODEL__API_KEY": "faults",
            "AGENT_MODEL__NAME": "faults",
            "AGENT_IDENTITY__JWT_SECRET": SECRET,
            "AGENT_SERVER__PORT": "0",
            "AGENT_SERVER__DRAIN_SECONDS": "3",
            "AGENT_STREAM__HEARTBEAT_SECONDS": "1",
            "AGENT_WORKER__REAP_SECONDS": "0.5",
            "AGENT_WORKER__DRAIN_SECONDS": "2",
            "AGENT_LIMITS__MAX_RUNS_PER_USER": "1000",
            "AGENT_PROFILE_PATH": str(PROFILES),
            LOG_VARIABLE: str(self.tool_log),
        }

    @property
    def tool_log(self) -> Path:
        return self.directory / "tool.jsonl"

    def tool_lines(self) -> list[dict[str, Any]]:
        """Return what the tools did."""
        if not self.tool_log.exists():
            return []
        return [json.loads(line) for line in self.tool_log.read_text().splitlines()]

    def token(self, tenant: str, user: str) -> str:
        now = int(time.time())
        claims = {"sub": user, "tenant": tenant, "iat": now, "exp": now + 3600}
        return jwt.encode(claims, SECRET, algorithm="HS256")

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement, past all proxies; on a connection of before, if one is idle: waits ask many times a second."""
        connection = self._idle.pop() if self._idle else None
        # A restart of Postgres has closed it.
        if connection is None or connection.is_closed():
            connection = await asyncpg.connect(self.database_url, timeout=HUNG_SECONDS)
        try:
            rows = await connection.fetch(sql, *arguments)
        except BaseException:
            connection.terminate()
            raise
        self._idle.append(connection)
        return rows

    async def expire_leases(self) -> None:
        """Let the leases of all runs that are executed now run out, until each run is taken away from its worker.

        For workers that are dead or held. A statement that one of them sent last may arrive after
        this and renew its lease, so the leases of these attempts are ended again and again.
        """
        rows = await self.fetch("SELECT id, attempt FROM agent_run WHERE status = 'running'")
        held = ([row["id"] for row in rows], [row["attempt"] for row in rows])

        async def taken() -> bool:
            return not await self.fetch(_EXPIRE, *held)

        if not await taken():
            self._expiring.add(asyncio.create_task(eventually(taken, pause_seconds=0.2)))

    def redis(self) -> Redis:
        """Return a client of Valkey, past all proxies."""
        return Redis.from_url(self.ground.valkey.url)

    async def close(self) -> None:
        """Kill every process and close the proxies."""
        for task in self._expiring:
            task.cancel()
        await asyncio.gather(*self._expiring, return_exceptions=True)
        for connection in self._idle:
            connection.terminate()
        for node in self.nodes:
            if node.running and node.pid == 0:
                await eventually(lambda node=node: node.pid)
            node.send(signal.SIGKILL)
        for node in self.nodes:
            await node.wait()
            await node.postgres.close()
            await node.redis.close()


def http_client() -> httpx.AsyncClient:
    """Return a client for all of a test's requests; addresses are given whole."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(6.0),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        trust_env=False,
    )
