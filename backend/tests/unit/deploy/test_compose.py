"""compose.yaml: its commands and variables are ours, its containers have no more rights than they need."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.dockerfile import ROOT
from tests.support.limits import HUNG_SECONDS
from typer.main import get_command

from agentroute.cli import app
from agentroute.settings_errors import load_settings
from core.config import Settings, unknown_variables

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "api", "worker")


def test_commands_are_ours() -> None:
    commands = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]  a group, as it has commands
    assert [SERVICES[name]["command"][0] for name in OURS] == ["migrate", "serve", "worker"]
    for name in OURS:
        known = {option for each in commands[SERVICES[name]["command"][0]].params for option in each.opts}
        assert {word for word in SERVICES[name]["command"] if word.startswith("--")} <= known


@pytest.mark.parametrize("name", [*OURS, "demo"])
def test_a_container_of_ours_has_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    # What it runs as, the image says.
    assert "user" not in service


def test_only_the_api_listens_and_only_on_this_machine() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"api"}
    assert SERVICES["api"]["ports"] == ["${AGENTROUTE_PORT:-127.0.0.1:8000}:8000"]


def test_processes_may_drain() -> None:
    settings = Settings()
    assert int(SERVICES["api"]["stop_grace_period"][:-1]) > settings.server.drain_seconds
    assert int(SERVICES["worker"]["stop_grace_period"][:-1]) > settings.worker.drain_seconds


def test_nothing_starts_before_the_migration() -> None:
    for name in ("api", "worker"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def _made(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets.d"
    subprocess.run(
        [ROOT / "deploy" / "compose" / "secrets", folder],
        check=True,
        capture_output=True,
        timeout=HUNG_SECONDS,
    )
    return folder


def test_the_variables_are_settings_and_the_secrets_are_the_files_that_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _made(tmp_path)
    assert {path.name for path in folder.iterdir()} == set(COMPOSE["secrets"])
    assert {name: each["file"] for name, each in COMPOSE["secrets"].items()} == {
        name: f"deploy/compose/secrets.d/{name}" for name in COMPOSE["secrets"]
    }
    for name, value in SERVICES["api"]["environment"].items():
        monkeypatch.setenv(name, value.replace("/run/secrets", str(folder)).rpartition(":-")[2].rstrip("}"))

    settings = load_settings("database", "redis")

    assert unknown_variables() == []
    password = (folder / "postgres_password").read_text()
    assert (
        settings.database.url.get_secret_value()
        == f"postgresql://agentroute:{password}@postgres:5432/agentroute"
    )
    assert settings.model.base_url == "http://demo:8765/v1"
    assert settings.identity.mode != "local"


def test_secrets_are_made_once_and_others_cannot_reach_them(tmp_path: Path) -> None:
    folder = _made(tmp_path)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert all(len(text) >= 64 for text in first.values())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    _made(tmp_path)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    assert "deploy/compose/secrets.d/" in (ROOT / ".gitignore").read_text().splitlines()
    assert os.access(ROOT / "deploy" / "compose" / "secrets", os.X_OK)
