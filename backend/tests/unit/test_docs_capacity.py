"""The page "Capacity" shows what ``bench/capacity.py`` computes, from figures that other pages have, too."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "bench" / "capacity.py"
PAGE = ROOT / "docs" / "how-to" / "capacity.md"
BEGIN, END = "<!-- what bench/capacity.py prints -->\n", "<!-- as far as here -->"


@pytest.fixture(scope="module")
def bench() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_the_page_shows_what_the_script_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-P", str(SCRIPT)], capture_output=True, text=True, check=True
    ).stdout

    assert PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip() == printed.strip()


def test_constants_are_those_of_the_pages_that_they_come_from(bench: dict[str, Any]) -> None:
    measured = (ROOT / "bench" / "README.md").read_text()
    assert f"{bench['STREAM_KIB']:.1f} KiB | 0.0067 | 0.0037 | 0.0013 | 0.0117 |" in measured
    assert bench["STREAM_CORES"] == pytest.approx(0.0117 / 2000)
    assert "a million runs with 50 million events beside what was there\n(16 GB;" in measured
    assert bench["RUN_BYTES"] * 1e6 == pytest.approx(16e9)
    deployment = (ROOT / "docs" / "how-to" / "deployment.md").read_text()
    told = f"up to {bench['API_CONNECTIONS']} connections to Postgres, a worker {bench['WORKER_CONNECTIONS']}"
    assert told in deployment


def test_a_larger_service_needs_no_less(bench: dict[str, Any]) -> None:
    figures, assumed = bench["Figures"].load(), bench["Assumptions"]()
    small, large = (bench["simulate"](users, assumed, figures) for users in (10_000, 400_000))

    for member in ("live_runs", "streams", "apis", "workers", "connections", "disk_gb", "memory_gib"):
        assert getattr(small, member) <= getattr(large, member)
    assert all(small.cores[part] < large.cores[part] for part in bench["PARTS"])
    # Forty times the users need about forty times the CPU.
    assert 20 < large.cores["worker"] / small.cores["worker"] < 60


def test_with_too_few_places_runs_wait(bench: dict[str, Any]) -> None:
    run = bench["Run"]
    runs = [run(at=0.0, idle=0.0, words=50) for _ in range(4)]
    wait_ms, assumed = bench["_wait_ms"], bench["Assumptions"](run_slots=1)

    assert wait_ms([runs], 4, assumed) == 0
    # One place, a second each: the last but one waits two seconds, and is the 99th percentile of four.
    assert wait_ms([runs], 1, assumed) == pytest.approx(2000)


def test_slow_models_need_places_and_no_cpu(bench: dict[str, Any]) -> None:
    figures, users = bench["Figures"].load(), 300_000
    quick = bench["simulate"](users, bench["Assumptions"](), figures)
    slow = bench["simulate"](users, bench["Assumptions"](first_word_seconds=20.0), figures)

    assert slow.live_runs > 3 * quick.live_runs
    assert slow.workers > quick.workers
    assert slow.cores["worker"] == pytest.approx(quick.cores["worker"], rel=0.3)
