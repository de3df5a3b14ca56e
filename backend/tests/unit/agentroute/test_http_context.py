"""The log lines of requests."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from tests.support.loggers import loggers_kept
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core.config import IdentitySettings, Settings
from core.log import configure_logging

SETTINGS = Settings(identity=IdentitySettings(mode="local"))


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    with loggers_kept():
        yield


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(SETTINGS, container=memory_container(SETTINGS)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "body", "ids"),
    [
        ("GET", "/history?threadId=t-9", None, {"thread_id": "t-9"}),
        ("GET", "/runs/r-9?threadId=t-9", None, {"thread_id": "t-9", "run_id": "r-9"}),
        ("PATCH", "/threads/t-9", {"title": "x"}, {"thread_id": "t-9"}),
        ("POST", "/runs/r-9/cancel", {"threadId": "t-9"}, {"thread_id": "t-9", "run_id": "r-9"}),
        (
            "POST",
            "/runs",
            {"threadId": "t-9", "runId": "r-9", "messages": [{"id": "m", "role": "user", "content": "x"}]},
            {"thread_id": "t-9", "run_id": "r-9"},
        ),
        ("GET", "/events?threadId=" + "t" * 999, None, {"thread_id": "t" * 256}),
        ("GET", "/capabilities", None, {}),
    ],
)
async def test_lines_of_a_request_carry_its_thread_and_its_run(
    client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None, ids: dict[str, str]
) -> None:
    text = io.StringIO()
    configure_logging(Settings(), stream=text)

    await client.request(method, f"/api/v1/agent{path}", json=body)

    line = json.loads(text.getvalue().splitlines()[-1])
    assert line["message"] == "request"
    assert {name: line[name] for name in ("thread_id", "run_id") if name in line} == ids
