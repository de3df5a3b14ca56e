"""The scripted demo model of an instance, at a port that is its own from before its first start until the end.

The socket is bound here and handed to each process of the demo: a port that was only found free is anybody's until the
process listens, and a restart would find it taken. Nobody listens before the first process does, so until then it is
refused, and not waited for.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentroute.embedded.python_service import PythonService, answers

_LOOPBACK = "127.0.0.1"


class DemoService(PythonService):
    """The demo model.

    Args:
        data_dir: Data directory of the instance; the caller holds its lock.
        env: Variables over those of this process.
        stop_seconds: As of ``PythonService``.

    Raises:
        OSError: No port can be had.
    """

    def __init__(self, *, data_dir: Path, env: Mapping[str, str], stop_seconds: float) -> None:
        self._socket = socket.socket()
        self._socket.bind((_LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        super().__init__(
            "Model",
            # The port is for who reads a list of processes.
            ["agentroute.demo.model", "--port", str(self.port)],
            data_dir=data_dir,
            env=env,
            stop_seconds=stop_seconds,
            probe=answers(_LOOPBACK, self.port, "/healthz"),
        )

    def start(self, extra: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> None:
        """Start a process with the socket."""
        descriptor = self._socket.fileno()
        super().start([*extra, "--fd", str(descriptor)], [*pass_fds, descriptor])
