"""The last release, beside this version: its sources out of git's history, and processes of it in a plot.

Its packages are those of this version's environment: what changes between two releases that run side by side is the
code and the schema. A process of it is started as a user starts it; only this version's can be forked (``zygote``).
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.faults.launcher import BACKEND, Node, Plot, Role

from agentroute.embedded.child_process import dying_with_parent

COMMIT = "6ac2f94e5b8365bfa9faaf32d4ac2f3bceda7b6d"
"""The release before this version. With a release, name its commit here."""
_COMMANDS: Mapping[Role, str] = {"api": "serve", "worker": "worker"}


def unpack(folder: Path) -> Path:
    """Write the sources of the last release into a folder; returns its ``src``.

    A clone without its commit (``git clone --depth 1``) has nothing to run: the test is skipped, and says so. In a clone
    with all of its history, the commit has to be there.
    """
    archive = _git("archive", "--format=tar", COMMIT, "backend/src", "backend/alembic")
    if archive.returncode:
        shallow = _git("rev-parse", "--is-shallow-repository").stdout.strip() != b"false"
        reason = f"the last release, {COMMIT[:12]}, is not in this clone"
        if shallow:
            pytest.skip(f"{reason}: it has no history. Fetch it: git fetch --unshallow")
        pytest.fail(f"{reason}, which has all of its history: name the release in {__file__}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "backend" / "src"


class LastRelease:
    """Starts processes of a release.

    Args:
        source: Its ``src``.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self._waiting: set[asyncio.Task[None]] = set()

    async def migrate(self, plot: Plot) -> None:
        """Run its ``agentroute migrate``."""
        process = await asyncio.create_subprocess_exec(
            *self._command("migrate"), env=self._environment({"AGENT_DATABASE__URL": plot.database_url})
        )
        assert await process.wait() == 0

    async def home(self) -> Path:
        """Return from where its processes import the service."""
        show = "import agentroute; print(agentroute.__file__)"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", show), env=self._environment({}), stdout=asyncio.subprocess.PIPE
        )
        told, _ = await process.communicate()
        return Path(told.decode().strip()).parents[1]

    async def start(self, plot: Plot, role: Role) -> Node:
        """Start a process of it, and wait until it is ready."""
        node, variables = await plot.place(role)
        with node.log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *dying_with_parent(self._command(_COMMANDS[role]), signal.SIGKILL),
                env=self._environment(variables),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        node.pid = process.pid
        waiting = asyncio.create_task(_wait(process, node))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)
        await node.ready()
        return node

    def _command(self, command: str) -> list[str]:
        return [sys.executable, "-P", "-m", "agentroute.cli", command]

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_")}
        # Before the environment's own packages, which are this version; the tools are in tests/.
        path = os.pathsep.join((str(self.source), str(BACKEND)))
        return {**kept, **variables, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


async def _wait(process: asyncio.subprocess.Process, node: Node) -> None:
    node.exit_code = await process.wait()
    node.exited.set()


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=BACKEND.parent, capture_output=True, check=False)
