"""A file of a developer with the name of a module that others import is refused before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentroute.hidden_modules import hiding_files

REFUSED = {
    "email.py": "email of Python's standard library: rename email.py",
    "types.py": "types of Python's standard library: rename types.py",
    "queue/__init__.py": "queue of Python's standard library: rename queue",
    "mcp.py": "mcp of a library that AgentRoute needs: rename mcp.py",
    "httpx/__init__.py": "httpx of a library that AgentRoute needs: rename httpx",
}
FINE = [
    *("agent.py", "tools.py", "test.py", "shop.py", "agents/__init__.py", "email.toml", "email.md"),
    # Without __init__.py, a folder is found after every module; these are no modules at all.
    *("queue/notes.py", "mcp/server.toml", ".types.py", "email.test.py"),
    # Installed here, and nothing that the service needs.
    "importlinter.py",
]


def _write(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text("", encoding="utf-8")


@pytest.mark.parametrize(("name", "words"), REFUSED.items())
def test_a_file_that_hides_a_module_is_named(tmp_path: Path, name: str, words: str) -> None:
    _write(tmp_path, name)

    place = tmp_path / name.partition("/")[0]
    assert list(hiding_files(tmp_path)) == [f"{place} would be imported in the place of the module {words}"]


def test_other_files_are_fine(tmp_path: Path) -> None:
    for name in FINE:
        _write(tmp_path, name)

    assert list(hiding_files(tmp_path)) == []
    assert list(hiding_files(tmp_path / "nowhere")) == []


@pytest.mark.parametrize("command", [["check", "."], ["import", "shop.py:agent"], ["dev", "."]])
def test_every_command_refuses_it_before_it_begins(tmp_path: Path, command: list[str]) -> None:
    _write(tmp_path, "email.py")
    _write(tmp_path, "shop.py")
    if command[0] != "import":
        (tmp_path / "agent.toml").write_text('name = "A"\ndescription = "d"\n', encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-P", "-m", "agentroute.cli", *command],
        cwd=tmp_path,
        env={**os.environ, "AGENT_DATA_DIR": str(tmp_path / ".data")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr == (
        f"error: {tmp_path.resolve() / 'email.py'} would be imported in the place of the module email "
        "of Python's standard library: rename email.py\n"
    )
