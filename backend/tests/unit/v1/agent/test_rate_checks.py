"""Rates at the routes: what counts, what a refusal looks like, and what every answer tells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.support.memory_container import memory_container
from tests.support.memory_ports import MemoryRuns

from agentroute.app import create_app
from core.config import RateSettings, Settings
from core.identity import Principal
from v1.agent.parking import close
from v1.agent.rate_checks import RUN_ROUTES, UPLOAD_ROUTES, counts_as
from v1.agent.route_access import ACCESS

BASE = "/api/v1/agent"


@pytest.fixture
def rates() -> dict[str, int]:
    return {}


@pytest.fixture
def app(settings: Settings, runs: MemoryRuns, rates: dict[str, int]) -> FastAPI:
    limited = settings.model_copy(update={"rates": RateSettings.model_validate(rates)})
    return create_app(limited, container=memory_container(limited, runs))


async def no_frames() -> AsyncIterator[bytes]:
    for frame in ():
        yield frame


def run(name: str, **members: Any) -> dict[str, Any]:
    messages = [{"id": f"m-{name}", "role": "user", "content": "hello"}]
    return {"threadId": f"t-{name}", "runId": f"r-{name}", "messages": messages, **members}


def test_every_route_that_counts_as_more_is_a_route() -> None:
    assert {("POST", path) for path in RUN_ROUTES | UPLOAD_ROUTES} <= ACCESS.keys()
    more = {route for route in ACCESS if counts_as(*route) != ("requests",)}
    assert more == {("POST", path) for path in RUN_ROUTES | UPLOAD_ROUTES}


@pytest.mark.parametrize("rates", [{"user_requests_per_minute": 3}])
async def test_too_many_requests_of_a_user_are_429_with_what_to_do(
    ada: httpx.AsyncClient, eve: httpx.AsyncClient
) -> None:
    answers = [await ada.get(f"{BASE}/capabilities") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"user-requests";q=3;w=60'}
    problem = answers[-1].json()
    assert (problem["code"], problem["retryable"]) == ("rate-limited", True)
    assert "your limit is 3 in 60 seconds" in problem["detail"]
    assert int(answers[-1].headers["retry-after"]) >= 20
    assert (await eve.get(f"{BASE}/capabilities")).status_code == 200
    # Whoever has no credential is told nothing.
    del ada.headers["authorization"]
    assert "ratelimit" not in (await ada.get(f"{BASE}/capabilities")).headers


async def test_a_head_request_is_told_too(ada: httpx.AsyncClient) -> None:
    assert "ratelimit" in (await ada.head(f"{BASE}/capabilities")).headers


@pytest.mark.parametrize("rates", [{"user_runs_per_minute": 2}])
async def test_runs_count_when_they_are_started_and_repeats_do_not(
    ada: httpx.AsyncClient, runs: MemoryRuns
) -> None:
    for name in ("1", "1", "1", "2"):
        assert (await ada.post(f"{BASE}/runs", json=run(name))).status_code == 202
    refused = await ada.post(f"{BASE}/runs", json=run("3"))

    assert refused.status_code == 429
    assert refused.json()["code"] == "rate-limited"
    assert '"user-runs";r=0' in refused.headers["ratelimit"]
    # Reading goes on.
    assert (await ada.get(f"{BASE}/history", params={"threadId": "t-1"})).status_code == 200


@pytest.mark.parametrize("rates", [{"user_runs_per_minute": 1}])
async def test_a_repeat_is_answered_although_no_run_may_be_started(ada: httpx.AsyncClient) -> None:
    first = await ada.post(f"{BASE}/runs", json=run("1"))
    stream = {"Accept": "text/event-stream", "Last-Event-ID": "1-0"}

    for _ in range(2):
        again = await ada.post(f"{BASE}/runs", json=run("1"))
        assert (again.status_code, again.json()) == (202, first.json())
        assert '"user-runs";r=0' in again.headers["ratelimit"]
    other_body = await ada.post(f"{BASE}/runs", json=run("1", state={"a": 1}))
    assert (other_body.status_code, other_body.json()["code"]) == (422, "idempotency-mismatch")
    for headers in ({}, stream):
        assert (await ada.post(f"{BASE}/runs", json=run("2"), headers=headers)).status_code == 429


@pytest.mark.parametrize("rates", [{"user_runs_per_minute": 1}])
async def test_a_run_that_is_refused_counts_for_nothing(ada: httpx.AsyncClient) -> None:
    assert (await ada.post(f"{BASE}/runs", json={"messages": 5})).status_code == 422

    assert (await ada.post(f"{BASE}/runs", json=run("1"))).status_code == 202


@pytest.mark.parametrize("rates", [{"user_streams": 1}])
async def test_a_stream_too_many_is_refused_before_anything_begins(
    app: FastAPI, ada: httpx.AsyncClient, ada_principal: Principal
) -> None:
    assert (await ada.post(f"{BASE}/runs", json=run("1"))).status_code == 202
    stream = {"Accept": "text/event-stream"}
    with app.state.container.stream_places.take(ada_principal) as place:
        held = place.keep_for(no_frames())

    reading = await ada.get(f"{BASE}/events", params={"threadId": "t-1"}, headers=stream)
    starting = await ada.post(f"{BASE}/runs", json=run("2"), headers=stream)
    # A browser's EventSource would give up after a 429: it comes back by itself.
    browser = await ada.get(
        f"{BASE}/events", params={"threadId": "t-1"}, headers=stream | {"Cache-Control": "no-cache"}
    )

    for refused in (reading, starting):
        assert (refused.status_code, refused.json()["code"]) == (429, "rate-limited")
        assert int(refused.headers["retry-after"]) >= 1
    assert (browser.status_code, browser.text.splitlines()[0]) == (200, ": rate-limited")
    assert (await ada.get(f"{BASE}/runs/r-2", params={"threadId": "t-2"})).status_code == 404
    # Without a stream there is room.
    assert (await ada.post(f"{BASE}/runs", json=run("2"))).status_code == 202
    await close(held)
