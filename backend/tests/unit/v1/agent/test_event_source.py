"""Who is an ``EventSource``, and what it gets when its stream cannot be opened: never an answer after which it gives up."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.datastructures import Headers
from tests.support.memory_ports import MemoryRuns

from core import errors
from v1.agent.event_source import is_event_source, put_off

EVENTS = "/api/v1/agent/events"
CHROME = {"Accept": "text/event-stream", "Cache-Control": "no-cache", "Sec-Fetch-Mode": "cors"}
FIREFOX = {"Accept": "text/event-stream", "Pragma": "no-cache", "Cache-Control": "no-cache"}
AGAIN = {"Accept": "text/event-stream", "Last-Event-ID": "1-3"}
AG_UI_OVER_GET = {"Accept": "text/event-stream", "Content-Type": "application/json"}
"""What ``HttpAgent`` sends, if an app makes a GET of it. It never asks past the cache."""


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", CHROME, True),
        ("GET", FIREFOX, True),
        ("GET", {"Accept": "TEXT/event-stream ", "Cache-Control": "max-age=0, No-Store"}, True),
        ("GET", AGAIN, True),
        ("GET", AG_UI_OVER_GET, False),
        ("POST", CHROME | AGAIN, False),
        ("HEAD", CHROME, False),
        ("GET", {"Accept": "*/*", "Cache-Control": "no-cache", "Last-Event-ID": "1-3"}, False),
        ("GET", {"Accept": "application/json, text/event-stream", "Cache-Control": "no-cache"}, False),
        ("GET", {"Cache-Control": "no-cache"}, False),
    ],
)
def test_an_event_source_is_known_by_its_headers(
    method: str, headers: dict[str, str], expected: bool
) -> None:
    assert is_event_source(method, Headers(headers)) is expected


def test_those_who_are_put_off_together_come_back_apart() -> None:
    told = [put_off(errors.StoreUnavailable()) for _ in range(100)]

    times = [int(re.fullmatch(rb": store-unavailable\nretry: (\d+)\n\n", body)[1]) for body in told]  # pyright: ignore[reportOptionalSubscript]
    assert len(set(times)) > 50
    assert 2000 <= min(times) < max(times) <= 4000


PASSING = [
    errors.Overloaded(retry_after_seconds=3),
    errors.StoreUnavailable(),
    PoolTimeoutError("QueuePool limit of size 10 overflow 0 reached"),
]


@pytest.fixture(params=PASSING, ids=lambda error: type(error).__name__)
def failing(request: pytest.FixtureRequest, runs: MemoryRuns, monkeypatch: pytest.MonkeyPatch) -> Exception:
    async def fail(*_: Any, **__: Any) -> None:
        raise request.param

    monkeypatch.setattr(runs, "follow", fail)
    monkeypatch.setattr(runs, "connect", fail)
    return request.param


@pytest.mark.parametrize("query", ["threadId=t-1", "threadId=t-1&runId=r-1", "threadId=t-1&connect=true"])
@pytest.mark.parametrize("headers", [CHROME, AGAIN], ids=["first", "again"])
async def test_an_event_source_gets_an_empty_stream_and_comes_back(
    query: str, headers: dict[str, str], ada: httpx.AsyncClient, failing: Exception
) -> None:
    page = {"Origin": "https://app.example"}
    response = await ada.get(f"{EVENTS}?{query}", headers=headers | page)

    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
    # Without it, the page's EventSource gives up.
    assert response.headers["access-control-allow-origin"] == "https://app.example"
    # A pool without a free connection is a crowd, and no outage.
    code = "store-unavailable" if isinstance(failing, errors.StoreUnavailable) else "overloaded"
    told = re.fullmatch(rf": {code}\nretry: (\d+)\n\n", response.text)
    assert told is not None
    assert 2000 <= int(told[1]) <= 16_000


@pytest.mark.usefixtures("failing")
async def test_every_other_client_is_told_what_is_wrong(ada: httpx.AsyncClient) -> None:
    for response in (
        await ada.get(f"{EVENTS}?threadId=t-1", headers=AG_UI_OVER_GET),
        await ada.get(f"{EVENTS}?threadId=t-1", headers={"Cache-Control": "no-cache"}),
        await ada.post(EVENTS, json={"threadId": "t-1"}, headers=CHROME | AGAIN),
    ):
        assert (response.status_code, response.json()["retryable"]) == (503, True)
        assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "error", [errors.NotFound(), errors.CursorExpired(), errors.Unauthenticated(), ValueError("a fault")]
)
async def test_an_error_that_will_not_pass_ends_an_event_source(
    error: Exception, ada: httpx.AsyncClient, runs: MemoryRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(runs, "follow", fail)
    response = await ada.get(f"{EVENTS}?threadId=t-1", headers=CHROME)

    assert response.status_code == getattr(error, "status", 500)
