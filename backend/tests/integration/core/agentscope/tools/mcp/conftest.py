"""Real MCP servers over each transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.mcp_servers import Server


@pytest.fixture(params=["http", "sse", "stdio"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(request.param, tmp_path)
    await made.start()
    yield made
    made.stop()


@pytest.fixture
async def http_server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server("http", tmp_path)
    await made.start()
    yield made
    made.stop()


@pytest.fixture
def stopped_server(tmp_path: Path) -> Iterator[Server]:
    made = Server("http", tmp_path)
    yield made
    made.stop()
