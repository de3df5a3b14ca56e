"""The command line: quick to start, and one clear line for what a user can mend."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agentroute.cli import app
from core.config import Settings


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_version() -> None:
    result = _run("--version")

    assert result.exit_code == 0
    assert result.stdout.startswith("agentroute ")


def test_the_package_itself_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agentroute", "--version"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, _run("--version").stdout)


def test_help_lists_the_commands() -> None:
    result = _run("--help")

    assert result.exit_code == 0
    for command in (
        "init",
        "import",
        "dev",
        "serve",
        "worker",
        "embedded",
        "migrate",
        "rotate-secrets",
        "keys",
        "storage",
        "doctor",
        "check",
        "chat",
        "threads",
        "tail",
    ):
        assert command in result.stdout
    for part in ("Build an agent", "Run the service", "Talk to it"):
        assert part in result.stdout


def test_dev_in_a_folder_without_an_agent_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    result = _run("dev")

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path}: there is neither an agent.toml nor a folder agents")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_missing_urls_are_named_without_a_traceback(command: str) -> None:
    result = _run(command)

    assert result.exit_code == 2
    assert [line.split()[1] for line in result.stderr.splitlines()] == [
        "AGENT_DATABASE__URL",
        "AGENT_REDIS__URL",
    ]


def test_serve_takes_host_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    from agentroute import server

    heard: list[Settings] = []
    monkeypatch.setattr(
        server, "run_server", lambda settings, wait_seconds, supervisor: heard.append(settings) or 0
    )
    for name in ("DATABASE", "REDIS"):
        monkeypatch.setenv(f"AGENT_{name}__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("AGENT_SERVER__PORT", "1")

    assert _run("serve", "--host", "192.0.2.7", "--port", "0").exit_code == 0
    assert _run("serve").exit_code == 0

    assert [(each.server.host, each.server.port) for each in heard] == [("192.0.2.7", 0), ("127.0.0.1", 1)]


def test_the_script_s_help_names_the_script() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "agentroute.script_run", "--help"], capture_output=True, text=True, check=True
    ).stdout

    assert "Usage: script/run [OPTIONS]" in shown


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SERVER__PORT", "x")

    result = _run("serve")

    assert result.exit_code == 2
    assert result.stderr.startswith("error: AGENT_SERVER__PORT: ")


def test_migrate_without_a_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DATABASE__URL", "postgresql://user:secret@127.0.0.1:1/name")

    result = _run("migrate")

    assert result.exit_code == 1
    assert result.stderr == (
        "error: Postgres: 127.0.0.1:1 does not answer. Start Postgres, or correct AGENT_DATABASE__URL.\n"
    )


def test_embedded_for_others_needs_a_secret(tmp_path: Path) -> None:
    result = _run("embedded", "--host", "192.0.2.1", "--data-dir", str(tmp_path / "data"))

    assert result.exit_code == 2
    assert "set AGENT_IDENTITY__JWT_SECRET" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_embedded_on_a_taken_port_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = _run("embedded", "--port", port, "--data-dir", str(tmp_path / "data"))

    assert result.exit_code == 1
    assert (
        result.stderr
        == f"error: port {port} on 127.0.0.1 is in use: stop the other program or choose another --port\n"
    )


def test_embedded_in_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = _run("embedded", "--data-dir", str(tmp_path / "file" / "data"))

    assert result.exit_code == 1
    assert "cannot be used: Not a directory. Choose another --data-dir" in result.stderr


def test_starting_imports_neither_agentscope_nor_a_database_driver() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, agentroute.cli; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert not {"agentscope", "sqlalchemy", "fastapi", "alembic"} & set(loaded)
