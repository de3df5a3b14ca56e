"""The common part of the embedded Postgres and Valkey: a private directory, its lock, and waiting for the start.

A server belongs to the process that started it and that holds the lock of the data directory. The next process that
gets the lock may stop a server that a killed process left running.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from agentroute.embedded.child_process import ChildProcess, stop_leftover
from agentroute.embedded.directory_lock import DirectoryInUseError, DirectoryLock

# sockaddr_un holds 104 bytes on macOS and 108 on Linux, with the closing NUL.
_MAX_SOCKET_PATH = 103
_POLL_SECONDS = 0.01
_RETRY_SECONDS = 0.2


class LocalServerError(Exception):
    """An embedded server cannot run. The message is one line that says what to do."""


class LocalServer(ABC):
    """A server of our own as a child process; its data survives ``stop``, ``kill`` and a killed parent.

    Start it from the main thread (see ``child_process``). ``restart`` keeps
    the URL, so clients reconnect by themselves.
    """

    title: ClassVar[str]
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]]
    """Signals of a clean stop, and the seconds to wait after each."""
    start_timeout_seconds: ClassVar[float] = 60.0

    def __init__(self, data_dir: Path, *, port: int | None = None, log_path: Path | None = None) -> None:
        """Describe a server; nothing is touched before ``start``.

        Args:
            data_dir: Directory of this server alone; made when missing, mode 0700.
            port: None listens on a unix socket only; a number on 127.0.0.1, with a password.
            log_path: Where the server's log goes; ``<data_dir>/log`` when None.
        """
        self.data_dir = data_dir.absolute()
        self.port = port
        self.log_path = log_path or self.data_dir / "log"
        self._child: ChildProcess | None = None
        self._lock = DirectoryLock(self.data_dir)
        self._shared_socket_dir: Path | None = None
        """A directory made outside of ``data_dir``, to be removed with a clean stop."""

    # --- what a server adds -----------------------------------------------------------

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect; stable while ``data_dir`` and ``port`` are."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the files the server needs; runs with the lock held and no server running."""

    @abstractmethod
    def _spawn(self) -> ChildProcess: ...

    @abstractmethod
    def _is_ready(self, child: ChildProcess) -> bool: ...

    def _is_passing(self, output: str) -> bool:
        """Return whether the cause of a failed start passes by itself, so that another start may succeed."""
        del output
        return False

    def _explain(self, output: str) -> str:
        """Turn the output of a server that failed to start into one line that says what to do."""
        if "Address already in use" in output or "could not bind" in output:
            return f"port {self.port} on 127.0.0.1 is in use: stop the other program or choose another port"
        if "No space left on device" in output:
            return f"no space is left on the disk of {self.data_dir}: free some and start again"
        lines = [line for line in output.splitlines() if line.strip()]
        return f"it stopped at once. Its last log line: {lines[-1] if lines else 'nothing'} (log: {self.log_path})"

    # --- life ---------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int | None:
        """Process id of the server; None before it was started and after it was stopped."""
        return None if self._child is None else self._child.pid

    def start(self) -> str:
        """Start the server, wait until it answers, and return its URL. Does nothing when it runs.

        A server left over by a killed parent is stopped first.

        Raises:
            LocalServerError: Another live process uses ``data_dir``, the port is
                taken, the directory cannot be written, or the server gave up.
        """
        if not self.running:
            self.begin()
            self.wait()
        return self.url

    def begin(self) -> None:
        """Start the process; ``wait`` waits for its answer, and until then other things can be done. Errors as ``start``."""
        try:
            self._make_private(self.data_dir)
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            self._acquire()
            self._stop_leftovers()
            self._prepare()
            self._child = self._spawn()
        except OSError as exc:
            self._lock.release()
            raise LocalServerError(f"{self.title}: {exc.strerror}: {exc.filename or self.data_dir}") from exc
        except LocalServerError:
            self._lock.release()
            raise

    def wait(self) -> None:
        """Wait until the server that ``begin`` started answers. Errors as ``start``."""
        if self._child is not None:
            self._wait_until_ready(self._child)

    def stop(self) -> None:
        """Stop cleanly and give up the data directory. Does nothing when it does not run."""
        if self._child is not None:
            self._child.stop(self.stop_steps)
            self._child = None
            self._remove_socket_dir()
        self._lock.release()

    def kill(self) -> None:
        """SIGKILL the server, as a crash would; ``start`` recovers its data."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> str:
        """Stop cleanly (if it runs) and start again, at the same URL."""
        self.stop()
        return self.start()

    def tail(self, lines: int = 10) -> list[str]:
        """The last lines the running or last server wrote."""
        return [] if self._child is None else self._child.tail(lines)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- parts ----------------------------------------------------------------------------

    @property
    def pid_path(self) -> Path:
        return self.data_dir / "server.pid"

    def _stop_leftovers(self) -> None:
        stop_leftover(self.pid_path, str(self.data_dir), self.stop_steps)

    def _wait_until_ready(self, child: ChildProcess) -> None:
        deadline = time.monotonic() + self.start_timeout_seconds
        while not self._is_ready(child):
            if not child.running and self._is_passing(child.output()) and time.monotonic() < deadline:
                time.sleep(_RETRY_SECONDS)
                child = self._child = self._spawn()
                continue
            if not child.running:
                reason = self._explain(child.output())
            elif time.monotonic() > deadline:
                reason = f"not ready after {self.start_timeout_seconds:.0f} s (log: {self.log_path})"
            else:
                time.sleep(_POLL_SECONDS)
                continue
            self.kill()
            self._lock.release()
            raise LocalServerError(f"{self.title}: {reason}")

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except DirectoryInUseError as exc:
            raise LocalServerError(
                f"{self.title}: {self.data_dir} is in use by another running instance: stop that one or choose another data directory"
            ) from exc

    @staticmethod
    def _make_private(directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)

    @property
    def _password_path(self) -> Path:
        return self.data_dir / "password"

    def _password(self) -> str:
        """The random password of this data directory, made at the first call and kept in a 0600 file."""
        path = self._password_path
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            password = secrets.token_urlsafe(32)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{password}\n")
            return password

    def _socket_dir(self, longest_name: str) -> Path:
        """Where sockets go: in the data directory when their paths are short enough there.

        Else in the temporary directory, under a name made from the data
        directory, so that the URL is the same after every start.
        """
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        short = f"agentroute-{os.geteuid()}-{digest}"
        for directory in (
            self.data_dir / "socket",
            Path(tempfile.gettempdir()) / short,
            Path("/tmp") / short,  # noqa: S108 - its owner is checked when it is made
        ):
            if len(os.fsencode(directory / longest_name)) <= _MAX_SOCKET_PATH:
                return directory
        raise LocalServerError(
            f"{self.title}: {self.data_dir} is too long for the path of a socket: choose a shorter path"
        )

    def _make_socket_dir(self, directory: Path) -> None:
        if directory.is_relative_to(self.data_dir):
            self._make_private(directory)
            return
        directory.mkdir(mode=0o700, exist_ok=True)
        # The name can be guessed and the folder is shared: never use a directory of another user.
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise LocalServerError(
                f"{self.title}: {directory} is open to other users: remove it and start again"
            )
        self._shared_socket_dir = directory

    def _remove_socket_dir(self) -> None:
        if self._shared_socket_dir is not None:
            shutil.rmtree(self._shared_socket_dir, ignore_errors=True)
            self._shared_socket_dir = None


def wheel_directory(package: str, what: str, variable: str) -> Path:
    """Directory of an installed wheel, without importing it.

    Raises:
        LocalServerError: It is not installed: the platform has no such wheel.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LocalServerError(f"no {what} comes with this platform: set {variable} to your own server")
    return Path(spec.submodule_search_locations[0])
