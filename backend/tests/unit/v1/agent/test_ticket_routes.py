"""Tickets over HTTP without what they need: who is told what, and that no ticket is in a log line or an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from structlog.testing import capture_logs
from tests.support.memory_container import memory_container
from tests.support.memory_ports import MemoryRuns

from agentroute.app import create_app
from core.config import IdentitySettings, RedisSettings, Settings
from core.identity import Principal
from core.redis_client import create_redis
from core.stream_tickets import StreamTickets, TicketUse

Connect = Callable[[str | None], httpx.AsyncClient]
BASE = "/api/v1/agent"
TICKET = "art_" + "a" * 43
STREAM = f"{BASE}/events?threadId=t-1&runId=r-1&ticket={TICKET}"
RUN = {"threadId": "t-1", "runId": "r-1", "messages": [{"id": "m-1", "role": "user", "content": "hello"}]}
EVENT_SOURCE = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}


@pytest.fixture
async def tickets() -> AsyncIterator[StreamTickets]:
    # Nothing listens there.
    settings = RedisSettings(url=SecretStr("redis://127.0.0.1:1/0"))
    redis = create_redis(settings)
    yield StreamTickets(redis, settings, lasts_seconds=900)
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def app(settings: Settings, runs: MemoryRuns, tickets: StreamTickets) -> FastAPI:
    return create_app(settings, container=memory_container(settings, runs, tickets=tickets))


async def test_without_redis_a_ticket_is_refused_for_now(ada: httpx.AsyncClient) -> None:
    await ada.post(f"{BASE}/runs", json=RUN)
    answers = [
        await ada.post(f"{BASE}/events/ticket", json={"threadId": "t-1", "runId": "r-1"}),
        await ada.get(STREAM),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "tickets-unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["retryable"]


async def test_an_event_source_comes_back_when_redis_is_away(ada: httpx.AsyncClient) -> None:
    answer = await ada.get(STREAM, headers=EVENT_SOURCE)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.content.startswith(b": tickets-unavailable\nretry: ")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"threadId": "absent"}, 404, "not-found"),
        ({"threadId": "t-1", "runId": "absent"}, 404, "not-found"),
        ({}, 422, "invalid-request"),
        ({"threadId": "no id"}, 422, "invalid-request"),
    ],
    ids=str,
)
async def test_a_ticket_is_refused_before_an_event_source_would_be(
    ada: httpx.AsyncClient, eve: httpx.AsyncClient, body: dict[str, str], status: int, code: str
) -> None:
    await ada.post(f"{BASE}/runs", json=RUN)

    refused = await ada.post(f"{BASE}/events/ticket", json=body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    foreign = await eve.post(f"{BASE}/events/ticket", json={"threadId": "t-1"})
    assert foreign.json()["code"] == "not-found"


@pytest.mark.parametrize(
    "path", ["/history?threadId=t-1", "/threads?x=1", "/runs/r-1?threadId=t-1", "/keys?x=1"]
)
async def test_a_ticket_is_no_credential_of_any_other_route(connect: Connect, path: str) -> None:
    refused = await connect(None).get(f"{BASE}{path}&ticket={TICKET}")

    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


async def test_a_foreign_page_uses_no_ticket_in_local_mode(tickets: StreamTickets) -> None:
    settings = Settings(identity=IdentitySettings(mode="local"))
    app = create_app(settings, container=memory_container(settings, tickets=tickets))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")
    async with client:
        refused = await client.get(STREAM, headers={"Origin": "https://evil.example"})

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("ticket", [TICKET, "wrong"])
async def test_a_ticket_is_in_no_log_line_and_in_no_answer(connect: Connect, ticket: str) -> None:
    with capture_logs() as lines:
        refused = await connect(None).get(STREAM.replace(TICKET, ticket))

    assert ticket not in refused.text
    assert refused.json()["instance"] == f"{BASE}/events"
    assert ticket not in json.dumps(lines, default=str)
    assert [line["path"] for line in lines if line["event"] == "request"] == [f"{BASE}/events"]
    assert refused.headers["Referrer-Policy"] == "no-referrer"


class GoodTickets:
    """Every ticket is good, and Ada's."""

    lasts_seconds = 900

    def __init__(self) -> None:
        self.used = 0

    async def use(self, ticket: str, thread_id: str, run_id: str | None) -> TicketUse:
        self.used += 1
        return TicketUse(ticket, 1, Principal("default", "ada", scopes=frozenset({"read"}), kind="ticket"))


async def test_a_ticket_shows_no_more_than_its_run_and_only_to_a_reader(
    settings: Settings, runs: MemoryRuns, ada: httpx.AsyncClient
) -> None:
    await ada.post(f"{BASE}/runs", json=RUN)
    tickets = GoodTickets()
    app = create_app(settings, container=memory_container(settings, runs, tickets=tickets))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as nobody:
        wider = await nobody.get(f"{STREAM}&connect=true")
        used = tickets.used
        elsewhere = await nobody.get(f"{BASE}/history?threadId=t-1&ticket={TICKET}")
        checked = await nobody.head(STREAM)

    assert (wider.status_code, wider.json()["code"]) == (401, "ticket-invalid")
    assert "connect=true" in wider.json()["detail"]
    assert (elsewhere.status_code, checked.status_code) == (401, 401)
    # A HEAD of a link checker takes the stream from nobody.
    assert (used, tickets.used) == (1, 1)
