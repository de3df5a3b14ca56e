"""The API of an instance, and the line on which it asks the supervisor.

The line is one of a pair of sockets. The API process inherits it, and no other process has it: neither a worker, which
runs the code of users, nor anybody who can read the data directory. Every start has a line of its own. See docs/adr/0048.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentroute.embedded.python_service import Probe, PythonService

_MAX_LINE_BYTES = 64 << 10
_READ_BYTES = 16 << 10


class SupervisorLine:
    """The supervisor's end: one JSON object a line, in both directions. Nothing here waits."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._rest = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> list[dict[str, Any]] | None:
        """Return what has come since the last time; None after the end, or after what no API of ours sends."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            return None
        try:
            asked = [json.loads(line) for line in lines]
        except ValueError:
            return None
        return asked if all(isinstance(each, dict) for each in asked) else None

    def send(self, answer: Mapping[str, Any]) -> None:
        """Send an answer. An API that does not read loses it, and says after a while that none came."""
        try:
            self._socket.send(json.dumps(answer).encode() + b"\n")
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()


class ApiService(PythonService):
    """An API process with its line.

    Args:
        data_dir: Data directory of the instance; the caller holds its lock.
        env: Variables over those of this process.
        options: Arguments of every process.
        stop_seconds: How long it may drain after SIGTERM.
        shows_metrics: As of ``PythonService``.
        probe: Says whether the process answers requests.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        env: Mapping[str, str],
        options: Sequence[str],
        stop_seconds: float,
        shows_metrics: bool = False,
        probe: Probe,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(
            "API",
            ["agentroute.cli", "serve", *options],
            data_dir=data_dir,
            env=env,
            stop_seconds=stop_seconds,
            shows_metrics=shows_metrics,
            probe=probe,
        )
        self.line: SupervisorLine | None = None
        self.ready_at: datetime | None = None
        """When the running process said that it serves."""
        self._clock = clock

    def start(self, extra: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> None:
        """Start a process with a new line."""
        self.hang_up()
        self.ready_at = None
        ours, theirs = socket.socketpair()
        with theirs:
            self.line = SupervisorLine(ours)
            super().start([*extra, "--supervisor", str(theirs.fileno())], [*pass_fds, theirs.fileno()])

    def note_ready(self) -> None:
        """The process has said that it serves."""
        self.ready_at = self._clock()

    def hang_up(self) -> None:
        """Close the line, if there is one."""
        if self.line is not None:
            self.line.close()
            self.line = None
