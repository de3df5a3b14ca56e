"""A Node project of the tests: installed once beside its lock file, and its programs driven line by line."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.limits import INSTALL_SECONDS

_STAMP = "node_modules/.installed"


class NodeUnavailableError(Exception):
    """There is no Node, or the packages cannot be installed; says why."""


class NodeProject:
    """A directory with ``package.json``, ``package-lock.json`` and ``.npmrc``; ``node_modules`` is git-ignored."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def install(self) -> None:
        """Install exactly what the lock file names, without scripts; nothing happens when it is there.

        Raises:
            NodeUnavailableError: It cannot be done here.
        """
        missing = [program for program in ("node", "npm") if shutil.which(program) is None]
        if missing:
            raise NodeUnavailableError(f"{' and '.join(missing)} not found on PATH")
        stamp = self._directory / _STAMP
        # Two test runs in one checkout install one after the other.
        with (self._directory / "package.json").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            wanted = self._fingerprint()
            if stamp.exists() and stamp.read_text() == wanted:
                return
            self._npm_ci()
            stamp.write_text(wanted)

    def _fingerprint(self) -> str:
        files = ("package.json", "package-lock.json", ".npmrc")
        return hashlib.sha256(b"".join((self._directory / name).read_bytes() for name in files)).hexdigest()

    def _npm_ci(self) -> None:
        command = ["npm", "ci", "--ignore-scripts"]
        try:
            done = subprocess.run(
                command,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise NodeUnavailableError(f"'{' '.join(command)}' takes more than {INSTALL_SECONDS} s") from exc
        if done.returncode != 0:
            raise NodeUnavailableError(f"'{' '.join(command)}' failed:\n{done.stdout[-2000:]}")

    def start(self, program: str, *arguments: str) -> NodeProgram:
        """Start a program of the project."""
        return NodeProgram(["node", program, *arguments], self._directory)


class NodeProgram:
    """A program that answers every line with one line of JSON. Started again after it has ended."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self._command = command
        self._directory = directory
        self._process = self._start()

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and return the answer.

        Raises:
            AssertionError: The program ended instead.
        """
        if self._process.poll() is not None:
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            _, errors = self._process.communicate()
            raise AssertionError(
                f"{line!r} ended the client, exit code {self._process.returncode}:\n{errors}"
            )
        return json.loads(answer)

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            cwd=self._directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Nothing of a test leaves the machine.
            env={**os.environ, "COPILOTKIT_TELEMETRY_DISABLED": "true", "DO_NOT_TRACK": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
