"""Runs the blocks of one page as a reader would: one shell, one Python, one folder, and the services that it starts.

A command that starts a service (`SERVICES`) runs on while the next blocks run. Its port is free, and takes the place of
8000 in what follows. A page that starts none talks to the service of the test module, and so does one whose command
another page has, too (`shared`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.command_server import PYTHON
from tests.support.doc_blocks import ROOT, Block, commands, shows
from tests.support.limits import HUNG_SECONDS

SERVICES = re.compile(r"(?:^|\s)(?:script/run|agentroute (?:dev|embedded))\b")
_ADDRESS = re.compile(r"\b(?:127\.0\.0\.1|localhost):8000\b")
_READY = re.compile(r"AgentRoute is ready: http://(\S+)")
_END = "--- end of block ---"
# In sh blocks an answer with an error is a failure; in console blocks it may be what the page shows.
_STRICT_CURL = 'curl() { command curl --no-progress-meter --fail-with-body "$@"; }'
_PLAIN_CURL = 'curl() { command curl --no-progress-meter "$@"; }'


class BlockFailed(AssertionError):
    """A block of a page does not do what the page says."""


class PageSession:
    """The shell, the Python and the services of one page."""

    def __init__(
        self,
        folder: Path,
        programs: Path,
        address: str | None = None,
        servers: Mapping[str, str] | None = None,
        shared: Callable[[str], str | None] = lambda _command: None,
    ) -> None:
        """Start the shell.

        Args:
            folder: An empty folder with a short path.
            programs: A folder that comes first in ``PATH``; see `command_server`.
            address: Host and port of the service for pages that start none.
            servers: Settings for the services of the page: servers that are there already make a start quicker.
            shared: Gives the address of a service that a command need not start, because it is there.
        """
        self._shared = shared
        self._folder = folder
        self._programs = programs
        self._servers = "".join(f"{name}='{value}' " for name, value in (servers or {}).items())
        self.address = address
        self._service: tuple[int, Path] | None = None
        self._python: subprocess.Popen[str] | None = None
        self._count = 0
        _furnish(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_")}
        environment |= {
            "HOME": str(folder),
            "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), environment["PATH"]]),
            "AGENT_SERVER__PORT": "0",
            "TERM": "dumb",
            "COLUMNS": "200",
        }
        if address:
            environment["AGENTROUTE_URL"] = f"http://{address}"
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        # The trap: a test that is killed leaves no service behind.
        self._tell("set -eo pipefail; trap 'kill $(jobs -p) 2>/dev/null' EXIT", "the start")

    def run(self, block: Block) -> None:
        """Run a block, or write the file that it is.

        Raises:
            BlockFailed: It did not do what the page says.
        """
        if block.file:
            self._write(block)
        elif block.language == "console":
            self._show(block)
        elif block.language == "sh":
            self._execute(block)
        elif block.language == "python":
            self._ask_python(block)

    def _write(self, block: Block) -> None:
        assert block.file is not None
        path = Path(self._tell("pwd", block.place).strip()) / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._addressed(block.text), encoding="utf-8")
        if block.language == "python":
            self._ask_python(block)

    def _execute(self, block: Block) -> None:
        text = self._addressed(block.text)
        lines = text.rstrip().splitlines()
        if SERVICES.search(lines[-1].partition("#")[0]):
            self._tell(self._script(f"{_STRICT_CURL}\n" + "\n".join(lines[:-1])), block.place)
            command = lines[-1].partition("#")[0].strip()
            if there := self._shared(command):
                self._now_at(there, block)
            else:
                self._start(command, block)
        elif block.until:
            self._until(text, block)
        else:
            self._tell(self._script(f"{_STRICT_CURL}\n{text}"), block.place)

    def _show(self, block: Block) -> None:
        for command in commands(block.text):
            text = self._addressed(command.text)
            if block.until:
                printed = self._until(text, block)
            elif command.shown.strip():
                file = self._script(f"{_PLAIN_CURL}\n{text}")
                printed = self._tell(f"{file} || true", block.place)
            else:
                printed = self._tell(self._script(f"{_STRICT_CURL}\n{text}"), block.place)
            if command.shown.strip() and not shows(self._addressed(command.shown), printed):
                raise BlockFailed(f"{block.place}: {command.text}\nprinted\n{printed}\nnot\n{command.shown}")

    def _start(self, command: str, block: Block) -> None:
        self._stop_service()
        log = self._folder / f"service-{self._count}.log"
        pid = int(self._tell(f"{self._servers}{command} >{log} 2>&1 & echo $!", block.place))
        self._service = pid, log
        ready = self._wait_for(_READY, pid, log, block)
        self._now_at(ready[1], block)

    def _now_at(self, address: str, block: Block) -> None:
        self.address = address
        self._tell(f"export AGENTROUTE_URL=http://{address}", block.place)

    def _until(self, text: str, block: Block) -> str:
        assert block.until is not None
        log = self._folder / f"until-{self._count}.log"
        file = self._script(f"{_PLAIN_CURL}\n{text}")
        pid = int(self._tell(f"set -m; ( {file} ) >{log} 2>&1 & echo $!; set +m", block.place))
        self._wait_for(re.compile(re.escape(block.until)), pid, log, block)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
        self._tell(f"wait {pid} || true", block.place)
        return log.read_text(errors="replace")

    def _wait_for(self, text: re.Pattern[str], pid: int, log: Path, block: Block) -> re.Match[str]:
        """Wait until a program has written a text into its log."""
        end = time.monotonic() + HUNG_SECONDS
        while time.monotonic() < end:
            alive = self._tell(f"kill -0 {pid} 2>/dev/null && echo alive || true", block.place).strip()
            written = log.read_text(errors="replace") if log.exists() else ""
            if found := text.search(written):
                return found
            if not alive:
                break
            time.sleep(0.05)
        raise BlockFailed(f"{block.place}: {text.pattern!r} did not come:\n{log.read_text(errors='replace')}")

    def _stop_service(self) -> None:
        if self._service is None:
            return
        pid, _ = self._service
        self._service = None
        self._tell(f"kill -TERM {pid} 2>/dev/null || true; wait {pid} || true", "the end of a service")

    def _ask_python(self, block: Block) -> None:
        folder = self._tell("pwd", block.place).strip()
        if self._python is None:
            with (self._folder / "python.log").open("w") as log:
                self._python = subprocess.Popen(
                    [self._programs / PYTHON],
                    cwd=folder,
                    env=self._environment(block),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        job = {"cwd": folder, "code": self._addressed(block.text), "name": block.place}
        with _limit(self._python):
            self._python.stdin.write(json.dumps(job) + "\n")
            self._python.stdin.flush()
            answer = self._python.stdout.readline()
        failure = json.loads(answer) if answer else "Python has ended."
        if failure:
            raise BlockFailed(f"{block.place}:\n{failure}")

    def _environment(self, block: Block) -> dict[str, str]:
        """Return the variables that the page's shell has exported."""
        file = self._folder / ".environment"
        self._tell(f"env -0 >{file}", block.place)
        pairs = (each.partition("=") for each in file.read_text().split("\0") if each)
        return {name: value for name, _, value in pairs}

    def _addressed(self, text: str) -> str:
        return _ADDRESS.sub(self.address, text) if self.address else text

    def _script(self, text: str) -> str:
        """Return the command that runs a text in the page's shell."""
        self._count += 1
        file = self._folder / f".block-{self._count}.sh"
        file.write_text(text + "\n")
        return f". {file} </dev/null"

    def _tell(self, line: str, place: str) -> str:
        """Run a line in the page's shell, and return what it printed."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        printed: list[str] = []
        with _limit(self._shell):
            with contextlib.suppress(BrokenPipeError):
                self._shell.stdin.write(f"{line}\nprintf '\\n{_END}\\n'\n")
                self._shell.stdin.flush()
            for said in self._shell.stdout:
                if said.rstrip("\n") == _END:
                    return "".join(printed)
                printed.append(said)
        raise BlockFailed(f"{place}: the block failed:\n{''.join(printed)}")

    def close(self) -> None:
        """End everything that the page started."""
        if self._python is not None:
            # The end of its input ends it.
            self._python.communicate()
        if self._shell.poll() is None:
            with contextlib.suppress(BlockFailed):
                self._stop_service()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.communicate()


@contextmanager
def _limit(process: subprocess.Popen[str]) -> Iterator[None]:
    """End a process that hangs, so that the read from it ends."""
    timer = threading.Timer(HUNG_SECONDS, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _furnish(folder: Path) -> None:
    """Give a page what it finds in the repository: its commands and its examples."""
    (folder / "script").mkdir()
    for command in (ROOT / "script").iterdir():
        if os.access(command, os.X_OK) and command.is_file():
            (folder / "script" / command.name).write_text(f'#!/bin/sh\nexec "{command}" "$@"\n')
            (folder / "script" / command.name).chmod(0o755)
    ignored = shutil.ignore_patterns("__pycache__", ".agentroute", "node_modules")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
