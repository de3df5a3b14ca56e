"""The systemd units: commands of ours, time to drain, and systemd itself reads them."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.dockerfile import ROOT
from tests.support.limits import HUNG_SECONDS

from core.config import Settings

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


def _service(path: Path) -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]  as its documentation says
    unit.read_string(path.read_text())
    return unit["Service"]


def test_processes_may_drain_and_are_started_again() -> None:
    settings = Settings()
    drains = {"serve": settings.server.drain_seconds, "worker": settings.worker.drain_seconds}
    commands = {_service(path)["ExecStart"].split()[1]: _service(path) for path in UNITS}
    assert set(commands) == set(drains)
    for command, service in commands.items():
        assert float(service["TimeoutStopSec"]) > drains[command]
        assert service["Restart"] == "always"
        assert service["DynamicUser"] == "yes"


def test_systemd_reads_them(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: the units are read by this test's own rules only")
    for path in UNITS:
        unit = tmp_path / path.name
        # The program of the reader is not on this machine.
        unit.write_text(path.read_text().replace("/opt/agentroute/bin/agentroute", "/bin/true"))
        done = subprocess.run(
            [program, "verify", "--man=no", "--recursive-errors=no", str(unit)],
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), path.name
