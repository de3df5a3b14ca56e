"""``agentroute init``: what it writes can be used as it is, and what exists stays as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agentroute.cli import app
from agentroute.starter.new_project import write_new_files
from core.errors import ConfigurationError

FILES = {"agent.toml", "agent.py", "tools.py", ".env.example", ".gitignore", "README.md"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _init(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["init", *arguments])


def _contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_a_new_agent_is_complete_and_passes_the_linter_and_the_check(folder: Path, programs: Path) -> None:
    result = _init("shoe-shop")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "Next: cd shoe-shop && agentroute dev"
    written = _contents(folder / "shoe-shop")
    assert written.keys() == FILES
    assert 'name = "Shoe Shop"' in written["agent.toml"]
    assert 'name="shoe-shop"' in written["agent.py"]
    assert ".env" in written[".gitignore"].split()
    for arguments in (
        ["check", "--select", "ALL", "--ignore", "CPY,D2,D4,EM,TRY,COM,INP,RUF029"],
        ["format", "--check"],
    ):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, "--isolated", "shoe-shop"], check=True)
    checked = subprocess.run(
        [programs / "agentroute", "check", "--json", "shoe-shop"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert '"ok": true' in checked.stdout
    assert '"permission": "ask"' in checked.stdout


def test_the_current_folder_can_be_the_agent_s(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "my agent").mkdir()
    monkeypatch.chdir(folder / "my agent")
    (folder / "my agent" / "notes.txt").write_text("mine", encoding="utf-8")

    refused = _init(".")
    result = _init(".", "--name", "helper")

    assert (refused.exit_code, result.exit_code) == (2, 0)
    assert "'my agent' cannot be the name of an agent" in refused.stderr
    assert "--name chooses another" in refused.stderr
    assert result.stdout.splitlines()[-1] == "Next: agentroute dev"
    assert _contents(folder / "my agent").keys() == FILES | {"notes.txt"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["9lives"], "'9lives' cannot be the name"),
        (["sh op"], "'sh op' cannot be the name"),
        (["shop", "--name", 'x"y'], "cannot be the name"),
        (["x" * 64], "at most 63"),
        (["core"], "a folder core would hide a package of AgentRoute"),
        (["file/shop"], "cannot be written: Not a directory"),
        (["taken"], "taken/agent.py, taken/README.md exist already, and nothing is overwritten"),
        (["link"], "link/tools.py exists already"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(
    folder: Path, arguments: list[str], words: str
) -> None:
    (folder / "file").touch()
    for name in ("taken", "link"):
        (folder / name).mkdir()
    for name in ("agent.py", "README.md"):
        (folder / "taken" / name).write_text("mine", encoding="utf-8")
    (folder / "link" / "tools.py").symlink_to("nowhere")

    result = _init(*arguments)

    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert _contents(folder / "taken") == {"agent.py": "mine", "README.md": "mine"}
    assert [path.name for path in (folder / "link").iterdir()] == ["tools.py"]


def test_a_failure_in_the_middle_leaves_nothing(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"a\.txt/b\.txt cannot be written|a\.txt cannot be written"):
        write_new_files({folder / "a.txt": "a", folder / "a.txt" / "b.txt": "b"})

    assert list(folder.iterdir()) == []
