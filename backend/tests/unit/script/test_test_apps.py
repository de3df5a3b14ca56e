"""``script/test-apps`` runs all that Flutter can tell, and says plainly when there is no Flutter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[4]
WORKFLOW = ROOT / ".github" / "workflows" / "apps.yml"
ALL = ["flutter pub get", "flutter analyze", "flutter test", "dart format"]


def run(
    folder: Path, *arguments: str, flutter: bool = True, codes: dict[str, int] | None = None
) -> tuple[int, list[str], str]:
    """Run the script in a copy of its place, with programs that note their calls and exit with the codes."""
    (folder / "script").mkdir()
    (folder / "apps").mkdir()
    shutil.copy(ROOT / "script" / "test-apps", folder / "script")
    bin_ = folder / "bin"
    bin_.mkdir()
    for name in ("flutter", "dart") if flutter else ():
        cases = "".join(
            f'"{key.replace("_", " ")}"*) exit {code};;\n'
            for key, code in (codes or {}).items()
            if key.startswith(name)
        )
        program = bin_ / name
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" >> "{folder}/calls"\ncase "{name} $*" in\n{cases}*) ;;\nesac\n'
        )
        program.chmod(0o755)
    done = subprocess.run(
        [folder / "script" / "test-apps", *arguments],
        env={"PATH": f"{bin_}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = folder / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else [], done.stderr


def test_without_flutter_it_says_that_nothing_was_run(tmp_path: Path) -> None:
    code, calls, told = run(tmp_path, flutter=False)

    assert (code, calls) == (3, [])
    assert "Flutter is not installed: no Dart was executed" in told


@pytest.mark.parametrize(
    ("codes", "code", "told"),
    [
        ({}, 0, "All checks of the app passed."),
        ({"flutter_analyze": 1}, 1, "failed: analyzer"),
        ({"flutter_test": 1}, 1, "failed: tests"),
        ({"flutter_analyze": 1, "flutter_test": 1, "dart_format": 1}, 1, "failed: analyzer tests"),
        ({"dart_format": 1}, 4, "dart format lib test"),
        ({"dart_format": 65}, 1, "failed: format"),
    ],
)
def test_everything_is_run_and_what_failed_is_named(
    tmp_path: Path, codes: dict[str, int], code: int, told: str
) -> None:
    exit_code, calls, output = run(tmp_path, codes=codes)

    assert exit_code == code
    assert told in output
    assert len(calls) == len(ALL)
    assert all(call.startswith(expected) for call, expected in zip(calls, ALL, strict=True))


def test_arguments_choose_the_tests(tmp_path: Path) -> None:
    _, calls, _ = run(tmp_path, "test/features/chat/domain")

    assert "flutter test test/features/chat/domain" in calls


def test_the_workflow_runs_it_with_pinned_actions() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    job = workflow["jobs"]["flutter"]

    assert all(
        re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]) for step in job["steps"] if "uses" in step
    )
    assert len(re.findall(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", text, re.MULTILINE)) == 2
    assert any("script/test-apps" in step.get("run", "") for step in job["steps"])
    assert workflow["permissions"] == {"contents": "read"}
