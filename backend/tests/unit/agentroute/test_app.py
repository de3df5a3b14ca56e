"""What surrounds every route: ids, headers, CORS, probes, problem pages, the lifespan."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs
from tests.support.memory_container import READY, memory_container

from agentroute.app import create_app
from core.config import IdentitySettings, ServerSettings, Settings
from core.readiness import Readiness

ORIGIN = "https://app.example"


@dataclass
class Probe:
    found: Readiness = READY

    async def __call__(self) -> Readiness:
        return self.found


@pytest.fixture
def probe() -> Probe:
    return Probe()


def build(probe: Probe, **server: Any) -> FastAPI:
    settings = Settings(identity=IdentitySettings(mode="local"), server=ServerSettings(**server))
    container = memory_container(settings, readiness=probe)
    return create_app(settings, container=container)


@pytest.fixture
async def client(probe: Probe) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build(probe, cors_origins=(ORIGIN,)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


async def test_a_sane_request_id_comes_back_and_any_other_is_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/healthz", headers={"X-Request-Id": "req-12345678"})
    made = await client.get("/healthz", headers={"X-Request-Id": "no spaces, please"})

    assert kept.headers["x-request-id"] == "req-12345678"
    assert len(made.headers["x-request-id"]) == 32


async def test_the_request_id_is_in_problems_and_in_the_log(client: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        response = await client.get("/nowhere?token=canary", headers={"X-Request-Id": "req-12345678"})

    assert response.json()["requestId"] == "req-12345678"
    (line,) = lines
    assert (line["event"], line["method"], line["path"], line["status"]) == (
        "request",
        "GET",
        "/nowhere",
        404,
    )
    assert "canary" not in str(lines)


async def test_answers_are_not_stored_and_not_sniffed(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/nowhere", "/api/v1/agent/capabilities"):
        response = await client.get(path)
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert "server" not in response.headers


async def test_no_answer_may_be_framed_or_run(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/nowhere", "/api/v1/agent/capabilities", "/problems/not-found", "/docs"):
        headers = (await client.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"


async def test_the_docs_may_run_their_own_scripts_only(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    policy = dict(
        rule.strip().split(" ", 1) for rule in page.headers["content-security-policy"].split(";") if rule
    )
    (inline,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)

    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["connect-src"] == "'self'"


async def test_only_configured_origins_may_read(client: httpx.AsyncClient) -> None:
    allowed = await client.get("/healthz", headers={"Origin": ORIGIN})
    refused = await client.get("/healthz", headers={"Origin": "https://evil.example"})
    failed = await client.get("/nowhere", headers={"Origin": ORIGIN})

    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in refused.headers
    assert failed.headers["access-control-allow-origin"] == ORIGIN
    assert "X-Request-Id" in failed.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in allowed.headers


async def test_without_origins_there_is_no_cors(probe: Probe) -> None:
    transport = httpx.ASGITransport(build(probe))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        response = await client.get("/healthz", headers={"Origin": ORIGIN})

    assert "access-control-allow-origin" not in response.headers


async def test_a_foreign_page_is_refused_in_local_mode(client: httpx.AsyncClient) -> None:
    path = "/api/v1/agent/capabilities"

    assert (await client.get(path)).status_code == 200
    for headers in ({"Host": "rebound.example"}, {"Origin": "https://evil.example"}):
        response = await client.get(path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/docs", "/openapi.json", "/problems/not-found", "/api/v1/agent/capabilities"],
)
async def test_head_has_the_headers_of_get_and_no_body(client: httpx.AsyncClient, path: str) -> None:
    got, head = await client.get(path), await client.head(path)

    assert (head.status_code, head.content) == (200, b"")
    changing = {"x-request-id"}
    assert {*head.headers.items()} - {*got.headers.items()} <= {
        (name, head.headers[name]) for name in changing
    }
    assert head.headers["content-length"] == str(len(got.content))


async def test_head_of_a_path_without_get_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.head("/api/v1/agent/runs")

    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/agent/threads/t-1", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/api/v1/agent/threads", "GET, HEAD"),
        ("GET", "/api/v1/agent/runs", "POST"),
        ("DELETE", "/api/v1/agent/runs/r-1", "GET, HEAD"),
        ("GET", "/api/v1/agent/runs/r-1/cancel", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
        ("PUT", "/openapi.json", "GET, HEAD"),
        ("PUT", "/docs/assets/favicon.png", "GET, HEAD"),
    ],
)
async def test_a_refused_method_names_all_that_the_path_has(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)

    assert (response.status_code, response.json()["code"]) == (405, "method-not-allowed")
    assert response.headers["allow"] == allowed


async def test_alive_looks_at_nothing(client: httpx.AsyncClient, probe: Probe) -> None:
    probe.found = Readiness(postgres=False, migrations=False, redis=False)

    assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_ready_needs_postgres_and_its_tables(client: httpx.AsyncClient, probe: Probe) -> None:
    for found, expected in [
        (Readiness(postgres=False, migrations=False, redis=True), ("unreachable", "unknown", "ok")),
        (Readiness(postgres=True, migrations=False, redis=True), ("ok", "behind", "ok")),
    ]:
        probe.found = found
        response = await client.get("/readyz")
        assert (response.status_code, response.json()["code"]) == (503, "store-unavailable")
        assert tuple(response.json()["checks"].values()) == expected
        assert "retry-after" in response.headers


async def test_a_schema_that_is_too_new_is_told_by_its_own_code(
    client: httpx.AsyncClient, probe: Probe
) -> None:
    probe.found = Readiness(postgres=True, migrations=False, redis=True, schema_ahead=True)

    response = await client.get("/readyz")

    assert (response.status_code, response.json()["code"]) == (503, "schema-incompatible")
    assert response.json()["checks"]["migrations"] == "incompatible"


async def test_ready_reports_redis_and_does_without(client: httpx.AsyncClient, probe: Probe) -> None:
    probe.found = Readiness(postgres=True, migrations=True, redis=False)

    response = await client.get("/readyz")

    assert response.status_code == 200
    assert response.json()["checks"] == {"postgres": "ok", "migrations": "ok", "redis": "unreachable"}


@pytest.mark.parametrize("live", [None, 0, 2])
async def test_ready_reports_the_workers_and_does_without(
    client: httpx.AsyncClient, probe: Probe, live: int | None
) -> None:
    probe.found = Readiness(postgres=True, migrations=True, redis=True, workers=live)

    response = await client.get("/readyz")

    assert (response.status_code, response.json()["status"]) == (200, "ready")
    workers = response.json().get("workers", {})
    assert workers.get("live") == live
    assert ("warning" in workers) == (live == 0)


async def test_the_type_of_a_problem_leads_to_its_meaning(client: httpx.AsyncClient) -> None:
    refused = (await client.get("/nowhere")).json()

    page = await client.get(refused["type"])

    assert page.headers["content-type"].startswith("text/plain")
    assert page.text.startswith("Not found (not-found, HTTP 404")
    assert (await client.get("/problems/unheard-of")).status_code == 404


async def test_a_trailing_slash_is_another_path(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz/")).status_code == 404


async def test_the_page_of_the_description_needs_no_other_host(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    places = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page.text)
    found = {place for pair in places for place in pair if place}

    assert "/openapi.json" in found
    assert len(found) == 4
    assert all(place.startswith("/") and not place.startswith("//") for place in found)
    for place in found:
        assert (await client.get(place)).status_code == 200


async def test_the_description_can_be_switched_off(probe: Probe) -> None:
    transport = httpx.ASGITransport(build(probe, docs=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for path in ("/docs", "/docs/assets/swagger-ui.css", "/openapi.json", "/redoc"):
            assert (await client.get(path)).status_code == 404
