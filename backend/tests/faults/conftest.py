"""One ground a session: Postgres, Valkey, the scripted model and the forker."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.faults.launcher import Ground, open_ground


@pytest.fixture(scope="session")
async def ground(server_dir: Path) -> AsyncIterator[Ground]:
    """What all services of the fault tests share."""
    if sys.platform != "linux" or not hasattr(os, "fork"):
        pytest.skip("the fault kit forks, and relies on Linux's parent-death signal")
    directory = server_dir / "faults"
    directory.mkdir()
    async with open_ground(directory) as ground:
        yield ground
