"""Async tests here run on a clock that jumps: heartbeats and outages cost no real time."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.virtual_clock import VIRTUAL_CLOCK


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK
