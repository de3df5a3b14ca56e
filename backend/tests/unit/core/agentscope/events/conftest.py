"""Async tests here run on a clock that jumps: heartbeats and outages cost no real time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.virtual_clock import VIRTUAL_CLOCK


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


@pytest.fixture(scope="module", autouse=True)
def _no_log() -> Iterator[None]:
    """Faults are ordered by the hundred here, and drawing their tracebacks takes longer than the tests."""
    with capture_logs():
        yield
