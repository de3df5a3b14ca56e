"""Prometheus' promtool: the system's, or the one that ``script/promtool`` unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_MISSING = (
    "no promtool here: nothing checks that Prometheus takes deploy/prometheus. script/promtool brings one"
)


def promtool(*arguments: str | Path, given: bytes | None = None) -> str:
    """Run promtool, and return what it says; the test fails if it exits with anything but 0.

    Without a promtool the test is skipped with a reason, and fails where ``CI`` is set.
    """
    unpacked = ROOT / ".tools" / "promtool"
    program = shutil.which("promtool") or (str(unpacked) if unpacked.exists() else None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(_MISSING)
        pytest.skip(_MISSING)
    done = subprocess.run([program, *arguments], input=given, capture_output=True, check=False)
    told = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, told
    return told
