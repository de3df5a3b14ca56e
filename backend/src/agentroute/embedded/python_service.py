"""One of our own Python programs as a supervised child process: the API, a worker, the demo model."""

from __future__ import annotations

import http.client
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agentroute.embedded.child_process import ChildProcess, stop_leftover

_METRICS = "AGENT_METRICS__"

Probe = Callable[["PythonService"], bool]


class PythonService:
    """Starts ``python -m <module>``, knows when it is ready, and how long it may take to stop."""

    def __init__(
        self,
        title: str,
        arguments: Sequence[str],
        *,
        data_dir: Path,
        env: Mapping[str, str],
        stop_seconds: float,
        probe: Probe,
        file_name: str = "",
        shows_metrics: bool = False,
    ) -> None:
        """Describe a program; nothing starts before ``start``.

        Args:
            title: Name for the user; its log is ``<data_dir>/logs/<title>.log``.
            arguments: Module and its arguments.
            data_dir: Data directory of the instance; the caller holds its lock.
            env: Variables over those of this process, as they are when it starts.
            stop_seconds: How long it may drain after SIGTERM.
            probe: Says whether the program, once running, is ready.
            file_name: Of its log, without ``.log``, if not of the title.
            shows_metrics: It has a port for them, which is in ``<log>.metrics`` (``metrics_page``).
        """
        self.title = title
        self.log_path = data_dir / "logs" / f"{file_name or title.lower().replace(' ', '-')}.log"
        self._pid_path = self.log_path.with_suffix(".pid")
        self._metrics_file = self.log_path.with_suffix(".metrics") if shows_metrics else None
        # -P: the folder of the caller may hold a `core` or a `models` of its own. -X takes any word: with it
        # a process list shows whose child this is, and so does the next start.
        self._command = [sys.executable, "-P", "-X", _mark(data_dir), "-m", *arguments]
        self._more_env = env
        self._stop_steps = ((signal.SIGTERM, stop_seconds),)
        self._probe = probe
        self._child: ChildProcess | None = None

    def start(self, extra: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> None:
        """Start the program and return at once.

        Args:
            extra: Arguments of this process only.
            pass_fds: Descriptors that this process gets.
        """
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        # Of the process before, or of an earlier start.
        self.log_path.with_suffix(".metrics").unlink(missing_ok=True)
        # SIGKILL with the parent: Postgres goes with it too, so there is nothing to drain into.
        self._child = ChildProcess(
            [*self._command, *extra],
            log_path=self.log_path,
            pid_path=self._pid_path,
            env=self._env,
            pass_fds=pass_fds,
        )

    @property
    def _env(self) -> dict[str, str]:
        # That is the address of the whole instance: of several processes, each but the first would refuse to start.
        inherited = {
            name: value for name, value in os.environ.items() if not name.upper().startswith(_METRICS)
        }
        metrics = {} if self._metrics_file is None else _own_port(self._metrics_file)
        return {**inherited, **self._more_env, **metrics, "PYTHONUNBUFFERED": "1"}

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def ready(self) -> bool:
        return self.running and self._probe(self)

    @property
    def exit_code(self) -> int | None:
        return None if self._child is None else self._child.exit_code

    def tail(self, lines: int = 10) -> list[str]:
        return [] if self._child is None else self._child.tail(lines)

    def stop(self) -> None:
        """SIGTERM, wait for the drain, then SIGKILL. Does nothing when it does not run."""
        if self._child is not None:
            self._child.stop(self._stop_steps)

    def retire(self) -> float:
        """SIGTERM, without a wait; returns after how many seconds it should have ended."""
        seconds = 0.0
        if self._child is not None and self._child.running:
            ((number, seconds),) = self._stop_steps
            self._child.send(number)
        return seconds

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid


def stop_leftovers(data_dir: Path) -> None:
    """Stop every program of ours that a killed parent has left running.

    Under any name: after a handover, the worker is not the first one. Call it while holding the lock of the data
    directory, and before any of them is started.
    """
    for pid_path in (data_dir / "logs").glob("*.pid"):
        stop_leftover(pid_path, _mark(data_dir), ())
    for metrics_file in (data_dir / "logs").glob("*.metrics"):
        # Somebody else may have the port now.
        metrics_file.unlink(missing_ok=True)


def _own_port(file: Path) -> dict[str, str]:
    return {f"{_METRICS}HOST": "127.0.0.1", f"{_METRICS}PORT": "0", f"{_METRICS}PORT_PATH": str(file)}


def _mark(data_dir: Path) -> str:
    return f"agentroute={data_dir}"


def answers(host: str, port: int, path: str) -> Probe:
    """Build a probe: an HTTP GET on this machine is answered with 200."""

    def probe(_service: PythonService) -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe
