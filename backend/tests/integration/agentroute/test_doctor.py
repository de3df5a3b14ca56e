"""The doctor's table: what was found, what to do, and the exit code."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from agentroute import doctor, preflight
from agentroute.check_result import CheckResult
from agentroute.demo.model import MODEL_NAME
from agentroute.doctor import run_doctor
from core.config import Settings


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=70)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_is_missing_is_listed_with_its_cure(console: Console, database_url: str) -> None:
    settings = Settings.model_validate({"database": {"url": database_url}})

    assert run_doctor(settings, console=console) == 1

    rows = [[cell.strip() for cell in line.split("│")] for line in _text(console).splitlines()]
    marks = {row[1]: row[2] for row in rows if len(row) > 2 and row[1]}
    expected = {
        "Postgres": "ok",
        "Migrations": "ok",
        "Workers": "ok",
        "Redis": "failed",
        "Model": "failed",
        "Identity": "failed",
        "Agent profile": "ok",
        "Transcription": "ok",
    }
    assert expected.items() <= marks.items()
    assert "AGENT_REDIS__URL" in _text(console)
    assert "none is running" in _text(console)


def test_a_healthy_setup_exits_with_0(
    console: Console, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def healthy(_settings: Settings) -> CheckResult:
        return CheckResult("Model", True, MODEL_NAME)

    monkeypatch.setattr(preflight, "check_model", healthy)
    settings = Settings.model_validate(
        {"database": {"url": database_url}, "redis": {"url": redis_url}, "identity": {"mode": "local"}}
    )

    assert run_doctor(settings, console=console) == 0
    assert "failed" not in _text(console)


def test_variables_without_effect_are_named(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DATABSE__URL", "x")

    run_doctor(Settings(), console=console)

    assert "AGENT_DATABSE__URL is not a setting" in _text(console)


def test_folders_that_cannot_be_imported_are_named(
    console: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    run_doctor(Settings(), console=console)

    assert "rename core" in " ".join(_text(console).split())


def test_a_local_model_server_is_suggested_and_not_used(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found() -> list[str]:
        return ["http://127.0.0.1:11434/v1"]

    monkeypatch.setattr(doctor, "find_local_models", found)
    settings = Settings()

    assert run_doctor(settings, console=console) == 1

    assert "AGENT_MODEL__BASE_URL=http://127.0.0.1:11434/v1" in _text(console).replace("\n", "")
    assert settings.model.base_url == ""


def test_long_addresses_are_shown_whole(console: Console) -> None:
    url = "https://" + "long." * 30 + "example/v1"

    run_doctor(Settings.model_validate({"model": {"base_url": url}}), console=console)

    squeezed = "".join(part for line in _text(console).splitlines() for part in line.split("│")[3:4])
    assert "long." * 30 in squeezed.replace(" ", "")
