"""Child processes that end with their parent, even if the parent is killed.

On Linux the kernel ends them (a parent-death signal). On other systems, and in the moment before the signal is set, a
pid file lets the next start find and stop a child that is left.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_MAX_LOG_BYTES = 10 << 20
_POLL_SECONDS = 0.02


@functools.cache
def _has_parent_death_signal() -> bool:
    setpriv = shutil.which("setpriv")
    if sys.platform != "linux" or setpriv is None:
        return False
    # util-linux before 2.33 has a setpriv without the option.
    return run([setpriv, "--pdeathsig", "KILL", "--", "true"]).returncode == 0


def run(
    command: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end, in a session of its own; its output and errors are in ``stdout``."""
    return subprocess.run(  # noqa: S603 - the commands are ours, without a shell
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=None if env is None else dict(env),
        start_new_session=True,
        check=False,
    )


def dying_with_parent(command: Sequence[str], death_signal: signal.Signals) -> list[str]:
    """Wrap a command so that the kernel sends it a signal when its parent ends.

    The kernel watches the *thread* that started the process: start children
    from the main thread. A no-op where the platform has no such signal.
    """
    if not _has_parent_death_signal():
        return list(command)
    name = death_signal.name.removeprefix("SIG")
    return ["setpriv", "--pdeathsig", name, "--", *command]


class ChildProcess:
    """One child with a log file and a pid file, in a session of its own.

    The session keeps a Ctrl-C in the terminal from reaching it: its parent
    decides the order in which children stop.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_path: Path,
        pid_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
        prefix: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start the command at once; its output is appended to ``log_path``.

        Args:
            command: Program and arguments.
            log_path: A file above 10 MiB is first moved to ``<name>.1``.
            pid_path: Written now, removed when the child is seen to have ended.
            env: The whole environment; the parent's when None.
            cwd: Working directory; the parent's when None.
            death_signal: What the child gets when its parent dies.
            prefix: Wrappers that ``exec`` the rest, such as ``unshare``. The
                parent-death signal is armed inside them: a change of user clears it.
            pass_fds: Descriptors that the child gets; all others are closed in it.

        Raises:
            OSError: The program or a file cannot be opened.
        """
        _rotate(log_path)
        self.log_path = log_path
        self._pid_path = pid_path
        with log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the commands are ours, without a shell
                [*prefix, *dying_with_parent(command, death_signal)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        try:
            pid_path.write_text(f"{self.pid}\n")
        except OSError:
            # No start would ever find it.
            self._process.kill()
            self._process.wait()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal, as in ``subprocess``."""
        code = self._process.poll()
        if code is not None:
            self._pid_path.unlink(missing_ok=True)
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the child has ended."""
        self._process.send_signal(number)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end; False when it still runs after the timeout."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        return not self.running

    def stop(self, steps: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send each signal in turn and wait its seconds, then SIGKILL. Returns when the child is gone."""
        for number, seconds in steps:
            self.send(number)
            if self.wait(seconds):
                return
        self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until the child is gone."""
        self.send(signal.SIGKILL)
        self._process.wait()
        self._pid_path.unlink(missing_ok=True)

    def output(self) -> str:
        """Everything this child has written to its log so far, at most the last 64 KiB."""
        with suppress(OSError), self.log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - (64 << 10)))
            return log.read().decode(errors="replace")
        return ""

    def tail(self, lines: int = 10) -> list[str]:
        """The last lines of its output."""
        return self.output().splitlines()[-lines:]


def _rotate(log_path: Path) -> None:
    with suppress(FileNotFoundError):
        if log_path.stat().st_size > _MAX_LOG_BYTES:
            log_path.replace(log_path.with_name(f"{log_path.name}.1"))


def stop_leftover(pid_path: Path, mark: str, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Stop the process a dead parent left behind, if it still runs.

    Call it only while holding the lock of the data directory: then no live
    parent can own the process.

    Args:
        pid_path: File whose first line is the process id.
        mark: Text its command line must hold, so that a reused id is left alone.
        steps: Signals and the seconds to wait after each; then SIGKILL.

    Returns:
        Whether a process had to be stopped.
    """
    pid = _read_pid(pid_path)
    if pid is None or mark not in _command_line(pid):
        return False
    for number, seconds in [*steps, (signal.SIGKILL, 10.0)]:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if _wait_until_gone(pid, mark, seconds):
            break
    return True


def kill_processes_in(directory: Path) -> None:
    """SIGKILL every process whose working directory this is, as far as the system shows them (Linux)."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink() == directory:
                os.kill(int(entry.name), signal.SIGKILL)


def _read_pid(path: Path) -> int | None:
    try:
        pid = int(path.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if pid > 1 else None


def _command_line(pid: int) -> str:
    """The arguments of a process; empty when it is gone (a zombie has none either)."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    return run(["ps", "-ww", "-o", "command=", "-p", str(pid)]).stdout


def _is_left(pid: int, mark: str) -> bool:
    """Whether a process that was to stop still has something: its arguments, or at least its files and ports."""
    line = _command_line(pid)
    if line or sys.platform != "linux":
        return mark in line
    # Linux takes the arguments from a process that ends before its files and its ports.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in ("Z", "X")
    except OSError:
        return False


def _wait_until_gone(pid: int, mark: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _is_left(pid, mark):
        if time.monotonic() > deadline:
            return False
        # Not our child, so there is nothing to wait on.
        time.sleep(_POLL_SECONDS)
    return True
