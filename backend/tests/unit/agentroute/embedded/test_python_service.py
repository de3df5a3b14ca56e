"""Our own programs as child processes: what a killed parent leaves is found again."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.support.limits import HUNG_SECONDS

from agentroute.embedded.python_service import PythonService, stop_leftovers

_PROGRAM = """
import pathlib, sys, time
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""


def _running(folder: Path, data_dir: Path, file_name: str) -> PythonService:
    up = data_dir / f"{file_name}.up"
    service = PythonService(
        "Worker",
        ["program", str(up)],
        data_dir=data_dir,
        env={"PYTHONPATH": str(folder)},
        stop_seconds=1,
        probe=lambda _service: up.exists(),
        file_name=file_name,
    )
    service.start()
    deadline = time.monotonic() + HUNG_SECONDS
    while not service.ready:
        assert time.monotonic() < deadline, service.tail()
        time.sleep(0.01)
    return service


def test_what_a_killed_parent_left_is_stopped_whatever_its_name_is(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(_PROGRAM)
    mine, other = tmp_path / "mine", tmp_path / "other"
    left = [_running(tmp_path, mine, name) for name in ("api", "worker-2")]
    stranger = _running(tmp_path, other, "worker-2")

    try:
        stop_leftovers(mine)

        deadline = time.monotonic() + HUNG_SECONDS
        while any(service.running for service in left):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert [service.exit_code for service in left] == [-signal.SIGKILL] * 2
        assert stranger.running
    finally:
        for service in (*left, stranger):
            service.stop()
