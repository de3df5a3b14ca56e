"""Real servers of the kinds of Redis: a primary behind Sentinels, and a cluster.

They are quick to see a death, so that tests wait for what happens and not for long. Every server wants a password, and the
Sentinels another one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

from agentroute.embedded.child_process import dying_with_parent
from agentroute.embedded.local_valkey import _bundled

PASSWORD = "of-the-servers"
SENTINEL_PASSWORD = "of-the-sentinels"
SERVICE = "main"
DEAD_AFTER_MILLISECONDS = 1000
_SLOTS = 16384


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + HUNG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the servers never came to be as they should"
        time.sleep(0.02)


class Server:
    """One process of Valkey (or of ``TEST_REDIS``)."""

    def __init__(self, folder: Path, lines: list[str], *, sentinel: bool = False) -> None:
        self.port = reserved_port()
        self.password = SENTINEL_PASSWORD if sentinel else PASSWORD
        self.folder = folder / str(self.port)
        self.folder.mkdir(parents=True)
        self._config = self.folder / "server.conf"
        usual = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", f"requirepass {self.password}"]
        if not sentinel:
            usual += ['save ""', "appendonly no", f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0"]
        self._config.write_text("\n".join([*usual, *lines]) + "\n")
        self._sentinel = ["--sentinel"] if sentinel else []
        self._process: subprocess.Popen[bytes] | None = None
        self.client = Redis(port=self.port, password=self.password, socket_timeout=HUNG_SECONDS)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def start(self) -> None:
        program = os.environ.get("TEST_REDIS") or str(_bundled())
        command = dying_with_parent([program, str(self._config), *self._sentinel], signal.SIGKILL)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except (RedisError, OSError):
            assert self._process is not None
            assert self._process.poll() is None, self.log()
            return False

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """Kill the process, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.client.close()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def says(self, *command: Any) -> Any:
        return self.client.execute_command(*command)


@dataclass
class Watched:
    """A primary with a replica, and three Sentinels."""

    servers: list[Server]
    sentinels: list[Server]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0"

    @property
    def settings(self) -> dict[str, Any]:
        return {"url": self.url, "sentinel_password": SENTINEL_PASSWORD}

    def primary(self) -> Server:
        """Return the primary that most Sentinels name."""
        named: list[Any] = [
            sentinel.client.sentinel_get_master_addr_by_name(SERVICE) for sentinel in self.sentinels
        ]
        (port,) = {int(address[1]) for address in named if named.count(address) > len(named) // 2 and address}
        return next(server for server in self.servers if server.port == port)

    def can_fail_over(self) -> bool:
        try:
            for sentinel in self.sentinels:
                state: Any = sentinel.client.sentinel_master(SERVICE)
                # A Sentinel hears of replicas and of the others little by little.
                if state["num-slaves"] < 1 or state["num-other-sentinels"] < len(self.sentinels) - 1:
                    return False
                replicas: Any = sentinel.client.sentinel_slaves(SERVICE)
                if not any(replica["master-link-status"] == "ok" for replica in replicas):
                    return False
                sentinel.says("SENTINEL CKQUORUM", SERVICE)
        except (RedisError, OSError):
            return False
        return True


@contextmanager
def watched_servers(folder: Path) -> Iterator[Watched]:
    """Start a primary, a replica and three Sentinels; yields when a failover is possible."""
    with ExitStack() as stack:
        primary = Server(folder, [])
        replica = Server(folder, [f"replicaof 127.0.0.1 {primary.port}"])
        sentinels = [
            Server(
                folder,
                [
                    f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2",
                    f"sentinel auth-pass {SERVICE} {PASSWORD}",
                    f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
                    f"sentinel down-after-milliseconds {SERVICE} {DEAD_AFTER_MILLISECONDS}",
                    f"sentinel failover-timeout {SERVICE} 5000",
                ],
                sentinel=True,
            )
            for _ in range(3)
        ]
        for server in (primary, replica, *sentinels):
            stack.callback(server.kill)
            server.start()
        watched = Watched([primary, replica], sentinels)
        wait_until(watched.can_fail_over)
        yield watched


@dataclass
class Cluster:
    """Three primaries, each with a replica, and one server without slots."""

    servers: list[Server]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:3])
        return f"redis+cluster://:{PASSWORD}@{hosts}"

    def of(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)

    def owner(self, key: str) -> Server:
        """Return the server that has a key."""
        slot = key_slot(key.encode())
        for server in self.servers:
            try:
                rows: list[Any] = server.says("CLUSTER SLOTS")
            except (RedisError, OSError):
                continue
            for first, last, primary, *_ in rows:
                if first <= slot <= last:
                    return self.of(primary[1])
        raise AssertionError(f"nobody has {key}")

    def node_id(self, server: Server) -> str:
        return server.says("CLUSTER MYID").decode()

    def is_whole(self) -> bool:
        for server in self.servers:
            state: Any = server.says("CLUSTER INFO")
            if "cluster_state:ok" not in _text(state):
                return False
            rows: list[Any] = server.says("CLUSTER SLOTS")
            if len({row[2][1] for row in rows}) != 3 or any(len(row) < 4 for row in rows):
                return False
        links: list[Any] = [server.client.info("replication") for server in self.servers[3:6]]
        return all(link.get("master_link_status") == "up" for link in links)


def _text(state: Any) -> str:
    if isinstance(state, dict):
        return "\n".join(f"{name}:{value}" for name, value in state.items())
    return state.decode() if isinstance(state, bytes) else str(state)


@contextmanager
def cluster_servers(folder: Path) -> Iterator[Cluster]:
    """Start a cluster; yields when each primary has a replica that follows it."""
    lines = [
        "cluster-enabled yes",
        f"cluster-node-timeout {DEAD_AFTER_MILLISECONDS}",
        "cluster-replica-validity-factor 0",
    ]
    with ExitStack() as stack:
        # The bus listens 10,000 above otherwise, where no port is reserved.
        servers = [Server(folder, [*lines, f"cluster-port {reserved_port()}"]) for _ in range(7)]
        for server in servers:
            stack.callback(server.kill)
            server.start()
        cluster = Cluster(servers)
        bounds = [_SLOTS * place // 3 for place in range(4)]
        first = servers[0]
        for place, server in enumerate(servers):
            server.says("CLUSTER SET-CONFIG-EPOCH", place + 1)
            if place < 3:
                server.says("CLUSTER ADDSLOTSRANGE", bounds[place], bounds[place + 1] - 1)
            if server is not first:
                bus_port = int(_setting(first, "cluster-port"))
                server.says("CLUSTER MEET", "127.0.0.1", first.port, bus_port)
        wait_until(
            lambda: all(
                f"cluster_known_nodes:{len(servers)}" in _text(server.says("CLUSTER INFO"))
                for server in servers
            )
        )
        for primary, replica in zip(islice(cycle(servers[:3]), 3), servers[3:6], strict=True):
            wait_until(lambda of=primary, to=replica: _replicates(cluster, to, of))
        wait_until(cluster.is_whole)
        yield cluster


def _setting(server: Server, name: str) -> str:
    return str(server.client.config_get(name)[name])


def _replicates(cluster: Cluster, replica: Server, primary: Server) -> bool:
    try:
        replica.says("CLUSTER REPLICATE", cluster.node_id(primary))
    except RedisError:
        return False  # It does not know the primary yet.
    return True
