"""The worker of an instance. When its process has ended, its runs are repaired at once: no lease is waited for.

Each process gets a name that no other process ever has. The name stays in a file until the runs of that process are
repaired. So a start after a crash of everything repairs what the crash left. See docs/adr/0025.
"""

from __future__ import annotations

import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agentroute.embedded.child_process import ChildProcess
from agentroute.embedded.python_service import PythonService

_SETTLE_SECONDS = 5.0
"""How long a stop waits for a repair; what is left then is repaired by the next start."""


class WorkerService(PythonService):
    """A worker process, and the repair of the runs of those that ended.

    Args:
        data_dir: Data directory of the instance; the caller holds its lock.
        env: Variables over those of this process.
        stop_seconds: How long it may drain after SIGTERM.
        shows_metrics: As of ``PythonService``.
        say: Shows the user one line.
        options: Arguments of every process.
        number: Of several services with the same data directory, each has one of its own.
        alive: Names of the processes of all of them that have not ended.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        env: Mapping[str, str],
        stop_seconds: float,
        shows_metrics: bool = False,
        say: Callable[[str], None],
        options: Sequence[str] = (),
        number: int = 1,
        alive: set[str] | None = None,
    ) -> None:
        # A file, not a line of the log, whose level the user chooses.
        file_name = "worker" if number == 1 else f"worker-{number}"
        self.number = number
        self._ready_file = data_dir / "logs" / f"{file_name}.ready"
        super().__init__(
            "Worker",
            ["agentroute.cli", "worker", "--ready-file", str(self._ready_file), *options],
            data_dir=data_dir,
            env=env,
            stop_seconds=stop_seconds,
            shows_metrics=shows_metrics,
            probe=lambda _service: self._ready_file.exists(),
            file_name=file_name,
        )
        self._alive = set[str]() if alive is None else alive
        self._say = say
        self._names = data_dir / "workers"
        self._live: str | None = None
        """Name of the process that was started last, until the system says that it has ended."""
        self._served = False
        """Whether a process has ended that may have claimed runs."""
        self._repair: ChildProcess | None = None

    def start(self, extra: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> None:
        """Start a process with a new name, and repair what earlier ones left."""
        name = f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        self._ready_file.unlink(missing_ok=True)
        super().start(["--name", name, *extra], pass_fds)
        self._live = name
        self._alive.add(name)
        # Only now: each name in a file belongs to a process that the next start would find by its pid, and stop.
        self._names.mkdir(exist_ok=True)
        (self._names / name).touch()
        self._begin_repair()

    @property
    def running(self) -> bool:
        # The end of a repair wakes up the supervisor, which asks this.
        self._end_repair()
        return super().running

    def ended(self) -> None:
        """Repair the runs of the process if it has ended, unless it has drained: then it ended its runs itself."""
        if self._live is None or self.exit_code is None:
            return
        # A worker writes its ready file before it can claim its first run.
        claimed = self._ready_file.exists()
        self._served |= claimed
        if self.exit_code == 0 or not claimed:
            (self._names / self._live).unlink(missing_ok=True)
        self._alive.discard(self._live)
        self._live = None
        self._begin_repair()

    @property
    def ready_at(self) -> datetime | None:
        """When the process began to execute runs; None before that."""
        try:
            return datetime.fromtimestamp(self._ready_file.stat().st_mtime, UTC)
        except OSError:
            return None

    @property
    def draining(self) -> bool:
        """Whether the process begins no run any more."""
        return not self.running or bool(self._said())

    @property
    def runs_left(self) -> int:
        """How many runs the process had when it began to drain."""
        return int(self._said() or 0)

    def _said(self) -> str:
        """Return what the ready file says: nothing before the process drains, then its runs."""
        try:
            return self._ready_file.read_text()
        except OSError:
            return ""

    def stop(self) -> None:
        """Stop the process, and repair what it could not end in time. The stores must still run."""
        super().stop()
        self.ended()
        # A start that failed has no runs of its own: its reason is shown at once.
        give_up_at = time.monotonic() + (_SETTLE_SECONDS if self._served else 0.0)
        while self._repair is not None:
            self._repair.wait(max(0.0, give_up_at - time.monotonic()))
            self._repair.kill()
            self._end_repair(again=time.monotonic() < give_up_at)

    def _begin_repair(self) -> None:
        """Repair in the background what dead processes left, unless a repair runs; its end looks again."""
        if self._repair is not None:
            return
        more = "" if self.number == 1 else f"-{self.number}"
        log_path = self.log_path.with_name(f"lost-workers{more}.log")
        try:
            files = [str(path) for path in self._names.glob("*") if path.name not in self._alive]
            if files:
                self._repair = ChildProcess(
                    [sys.executable, "-P", "-m", "agentroute.embedded.lost_workers", *files],
                    log_path=log_path,
                    pid_path=log_path.with_suffix(".pid"),
                    env=self._env,
                )
        except OSError as exc:
            # No memory, no space, no descriptor: the instance goes on, and its other parts still stop in order.
            self._say(
                f"The runs of a worker that ended cannot be repaired now: {exc}. The next start of a worker tries again."
            )

    def _end_repair(self, *, again: bool = True) -> None:
        """Note the end of a repair, and begin the next one: another process may have ended meanwhile."""
        if self._repair is None or self._repair.running:
            return
        # A repair that failed was patient: the next start or end of a process tries again.
        again = again and self._repair.exit_code == 0
        self._repair = None
        if again:
            self._begin_repair()
