"""The limits of the tests fit into one another."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.support import limits

_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_pytest_is_more_patient_than_every_limit_inside_a_test() -> None:
    last_resort = tomllib.loads(_PYPROJECT.read_text())["tool"]["pytest"]["ini_options"]["timeout"]
    inner = [limits.HUNG_SECONDS, limits.PROXY_START_SECONDS, limits.INSTALL_SECONDS]

    # A fixture that installs and then starts a server meets two limits in a row.
    assert last_resort > max(inner) + limits.HUNG_SECONDS
