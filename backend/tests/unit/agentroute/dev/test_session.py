"""What is worth another start while the agent cannot be used yet."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agentroute.dev.session import _Session
from agentroute.project import find_project

_AGAIN = "AGENT_DEMO of .env has changed. It is read once: start `agentroute dev` again to use it."
CASES = {
    "a file of the agent": ({"agent.py": "x = 2"}, True, []),
    "a variable": ({".env": "KEY=2\nAGENT_DEMO=1\n"}, True, ["Variables of .env: AGENT_DEMO, KEY"]),
    "a setting of the service": (
        {".env": "KEY=1\nAGENT_DEMO=2\n"},
        False,
        ["Variables of .env: KEY, AGENT_DEMO", _AGAIN],
    ),
    "no text": ({".env": b"\xff"}, False, [".env is not UTF-8 text"]),
    "a file that breaks every process": ({"email.py": ""}, False, ["rename email.py"]),
}


@pytest.mark.parametrize(("files", "worth", "told"), CASES.values(), ids=CASES)
def test_a_start_is_tried_again_after_changes_that_can_mend_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, str | bytes],
    worth: bool,
    told: list[str],
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / ".env").write_text("KEY=1\nAGENT_DEMO=1\n", encoding="utf-8")
    (tmp_path / "agent.toml").touch()
    project = find_project(tmp_path)
    project.enter()
    instance = SimpleNamespace(data_dir=tmp_path / ".data", supervisor=SimpleNamespace(wake=lambda: None))
    session = _Session(cast("Any", instance), project)
    capsys.readouterr()
    for name, text in files.items():
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    assert session._is_worth_a_try([Path(name) for name in files]) is worth

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(told)
    assert all(text in line for text, line in zip(told, lines, strict=True))
    assert os.environ["KEY"] == ("2" if files.get(".env", "") == "KEY=2\nAGENT_DEMO=1\n" else "1")
