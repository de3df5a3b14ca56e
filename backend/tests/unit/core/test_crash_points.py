"""A crash point does nothing until a variable names it, and then ends the process at once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from core import crash_points
from core.crash_points import EXIT_CODE, POINTS, VARIABLE, crash_point

SOURCES = Path(crash_points.__file__).parents[1]


def passing(times: int, wish: str) -> subprocess.CompletedProcess[str]:
    program = f"from core.crash_points import crash_point\nfor _ in range({times}): crash_point('published')\nprint('alive')"
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={VARIABLE: wish},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_the_variable_nothing_happens() -> None:
    crash_point("published")


@pytest.mark.parametrize(("times", "wish"), [(1, "published"), (3, "published:3")])
def test_ends_the_process_at_the_named_passing(times: int, wish: str) -> None:
    ended = passing(times, wish)
    assert (ended.returncode, ended.stdout) == (EXIT_CODE, "")


@pytest.mark.parametrize(("times", "wish"), [(2, "published:3"), (5, "tool-before")])
def test_lets_every_other_passing_go(times: int, wish: str) -> None:
    assert passing(times, wish).stdout == "alive\n"


@pytest.mark.parametrize("wish", ["nowhere", "published:0", "published:x"])
def test_refuses_a_wish_that_nothing_would_fulfil(wish: str) -> None:
    ended = passing(1, wish)
    assert ended.returncode == 1
    assert "ValueError" in ended.stderr


def test_every_point_is_somewhere_in_the_sources() -> None:
    text = "".join(path.read_text() for path in SOURCES.rglob("*.py") if path.name != "crash_points.py")
    assert set(re.findall(r'crash_point(?:_soon)?\("([a-z-]+)"\)', text)) == POINTS
