"""Builds the image of the Dockerfile without an engine, and runs it: each stage is a chroot that debootstrap made.

The instructions are those of the Dockerfile itself. What an engine would bring is brought here: a stage's base, a
context without what ``.dockerignore`` keeps out, namespaces of mounts and processes, a read-only root, the user, and
``/tmp`` in memory. Linux, as root. What differs: Debian's Python in place of that of the official image.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from tests.support.dockerfile import ROOT, Stage, read_dockerfile
from tests.support.limits import INSTALL_SECONDS

SUITE = "trixie"
_PACKAGES = "python3,python3-venv,ca-certificates"
_PIP_CONFIGURATIONS = (Path("/etc/pip.conf"), Path("/root/.config/pip/pip.conf"))
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_NEEDED = ("debootstrap", "unshare", "chroot")

# Process 1 of its own namespace; nothing of the root can be written.
_ENTER = """
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -o remount,ro,bind "$ROOT"
mount -t tmpfs tmpfs "$ROOT/tmp"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
cd "$ROOT"
exec chroot --userspec="$USER_SPEC" "$ROOT" /usr/bin/env -i "$@"
"""


def missing() -> str:
    """Return why an image cannot be built here; nothing if it can."""
    if os.geteuid() != 0:
        return "only root may make a chroot"
    absent = [name for name in _NEEDED if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


class Image:
    """The last stage of the Dockerfile, as a folder.

    Args:
        folder: Where the stages are; a base that is there is used again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._roots: dict[str, Path] = {}
        self._stage = Stage("", "")

    @property
    def root(self) -> Path:
        return self._folder / "image"

    @property
    def command(self) -> list[str]:
        """Its ENTRYPOINT."""
        return self._stage.last("ENTRYPOINT").words

    @property
    def default_arguments(self) -> list[str]:
        return self._stage.last("CMD").words

    @property
    def check(self) -> list[str]:
        """The command of its HEALTHCHECK."""
        text = self._stage.last("HEALTHCHECK").text
        return [word.strip('",') for word in text.partition("CMD [")[2].rstrip("]").split()]

    def build(self) -> None:
        """Carry out every instruction of every stage."""
        base = self._folder / "base"
        if not (base / "usr" / "bin" / "python3").exists():
            mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
            _run(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", SUITE, str(base), mirror])
        *others, last = read_dockerfile()
        for stage in others:
            self._build(stage, self._folder / f"stage-{stage.name}")
        self._stage = last
        self._build(last, self.root)

    def _build(self, stage: Stage, root: Path) -> None:
        shutil.rmtree(root, ignore_errors=True)
        _run(["cp", "-a", "--reflink=auto", str(self._folder / "base"), str(root)])
        # The official image has its interpreter there.
        (root / "usr" / "local" / "bin" / "python3").symlink_to("/usr/bin/python3")
        self._roots[stage.name] = root
        directory = "/"
        for each in stage.instructions:
            match each.name:
                case "WORKDIR":
                    directory = each.text
                    (root / directory.strip("/")).mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(each.paths, each.options, root, root / directory.strip("/"))
                case "RUN":
                    self._run_in(root, directory, stage.environment, each.text)
                case _:
                    pass

    def _copy(self, paths: list[str], options: Mapping[str, str], root: Path, directory: Path) -> None:
        *sources, target = paths
        stage = options.get("from")
        source_root = self._roots[stage] if stage else ROOT
        place = root / target.strip("/") if target.startswith("/") else directory / target
        for source in sources:
            found = source_root / source.strip("/")
            if found.is_dir():
                ignored = None if stage else shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(found, place, symlinks=True, ignore=ignored, dirs_exist_ok=True)
            else:
                shutil.copy2(found, place)
        if owner := options.get("chown"):
            user, group = map(int, owner.split(":"))
            os.chown(place, user, group)

    def _run_in(self, root: Path, directory: str, environment: Mapping[str, str], command: str) -> None:
        """Run a shell in a stage, with the network and the package index of this machine, which are not its own."""
        brought = [path for path in (*_PIP_CONFIGURATIONS, _CERTIFICATES) if path.exists()]
        shutil.copy2("/etc/resolv.conf", root / "etc" / "resolv.conf")
        for path in brought:
            (root / path.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, root / path.relative_to("/"))
        variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PIP_CERT": str(_CERTIFICATES), **environment}
        given = [f"{name}={value}" for name, value in variables.items()]
        shell = f"cd {directory} && {command}"
        _run(["chroot", str(root), "/usr/bin/env", "-i", *given, "/bin/sh", "-euc", shell])

    @contextmanager
    def started(
        self, arguments: list[str], environment: Mapping[str, str], *, log: Path
    ) -> Iterator[psutil.Process]:
        """Run a container; yields its process 1. Killed at the end, if it still runs.

        Args:
            arguments: Of the ENTRYPOINT.
            environment: Over that of the image.
            log: Takes what it prints.
        """
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._enter([*self.command, *arguments], environment),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._outside(),
            )
        try:
            yield _first(process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait(INSTALL_SECONDS)

    def run(self, command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a program in a container of its own, to its end."""
        return subprocess.run(
            self._enter(command, environment),
            env=self._outside(),
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )

    def _enter(self, command: list[str], environment: Mapping[str, str]) -> list[str]:
        variables = self._stage.environment | dict(environment)
        given = [f"{name}={value}" for name, value in variables.items()]
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*namespaces, "/bin/sh", "-euc", _ENTER, "sh", *given, *command]

    def _outside(self) -> dict[str, str]:
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "ROOT": str(self.root),
            "USER_SPEC": self._stage.last("USER").text,
        }


def _first(pid: int) -> psutil.Process:
    """Return process 1 of a namespace: the only child of who made it."""
    maker = psutil.Process(pid)
    while not (children := maker.children()):
        if maker.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError("the container did not start")
    return children[0]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * INSTALL_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} … failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
