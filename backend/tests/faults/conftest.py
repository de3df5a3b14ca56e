"""One ground for the fault tests: Postgres, Valkey, the scripted model and the forker.

Not for the session: an async fixture keeps its event loop as long as it lives,
and the unit tests that follow bring a clock of their own. "package" means that
only where there is an ``__init__.py``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.faults.launcher import Ground, open_ground


@pytest.fixture(scope="package")
async def ground(server_dir: Path) -> AsyncIterator[Ground]:
    """What all services of the fault tests share."""
    if sys.platform != "linux" or not hasattr(os, "fork"):
        pytest.skip("the fault kit forks, and relies on Linux's parent-death signal")
    directory = server_dir / "faults"
    directory.mkdir()
    async with open_ground(directory) as ground:
        yield ground
