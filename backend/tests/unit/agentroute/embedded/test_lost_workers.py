"""Tests of the order in which the runs of dead workers are repaired."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute.embedded import lost_workers
from agentroute.embedded.lost_workers import repair_in_rounds


async def test_a_run_that_cannot_be_repaired_delays_no_other_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_workers, "_AGAIN_SECONDS", 0.0)
    files = _touched(tmp_path, "stuck", "failing", "good")
    left = {"failing": [2, 0], "good": [3, 1, 0]}
    asked: list[str] = []
    enough = asyncio.Event()

    async def repair_dead(name: str) -> int:
        await asyncio.sleep(0)
        asked.append(name)
        if name == "stuck":
            if asked.count(name) == 5:
                enough.set()
            return 1
        if name == "failing" and asked.count(name) == 1:
            raise ConnectionError
        return left[name].pop(0)

    repairing = asyncio.create_task(repair_in_rounds(repair_dead, files))
    async with asyncio.timeout(HUNG_SECONDS):
        await enough.wait()
    repairing.cancel()

    assert _left(tmp_path) == ["stuck"]
    assert asked[:9] == ["stuck", "failing", "good"] * 3
    assert set(asked[9:]) == {"stuck"}


async def test_it_ends_when_no_worker_is_left(tmp_path: Path) -> None:
    async def repair_dead(_name: str) -> int:
        await asyncio.sleep(0)
        return 0

    files = _touched(tmp_path, "gone")

    await repair_in_rounds(repair_dead, [*files, tmp_path / "deleted-already"])

    assert _left(tmp_path) == []


def _touched(directory: Path, *names: str) -> list[Path]:
    for name in names:
        (directory / name).touch()
    return [directory / name for name in names]


def _left(directory: Path) -> list[str]:
    return [file.name for file in directory.iterdir()]
