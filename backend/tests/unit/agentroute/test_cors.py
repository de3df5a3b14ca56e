"""Which pages may call, and what the others are told."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core.config import IdentitySettings, ServerSettings, Settings

APP = "https://app.example"
LOCAL_PAGES = ["http://localhost:5173", "https://localhost", "http://127.0.0.1:3000", "http://[::1]:8080"]
FOREIGN_PAGES = [
    "null",
    "",
    "https://evil.example",
    "http://localhost.evil.example",
    "http://evil.example@localhost",
    "http://localhost:5173/",
    "http://127.0.0.1.nip.io:8000",
]
JWT = IdentitySettings.model_validate({"jwt_secret": "a-secret-of-more-than-thirty-two-bytes"})
LOCAL = IdentitySettings(mode="local")


def a_client(identity: IdentitySettings, **server: Any) -> httpx.AsyncClient:
    settings = Settings(identity=identity, server=ServerSettings(**server))
    app = create_app(settings, container=memory_container(settings))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")


async def preflight(client: httpx.AsyncClient, origin: str, **more: str) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked |= {f"Access-Control-Request-{name.replace('_', '-')}": value for name, value in more.items()}
    return await client.options("/api/v1/agent/runs", headers=asked)


@pytest.mark.parametrize(
    "wanted",
    [
        "authorization",
        "authorization, content-type, idempotency-key",
        "authorization,cache-control,last-event-id",
        "Authorization, X-CopilotKit-Version, traceparent, baggage",
    ],
)
async def test_an_allowed_page_may_send_any_header(wanted: str) -> None:
    async with a_client(JWT, cors_origins=(APP,)) as client:
        answer = await preflight(client, APP, Headers=wanted)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-headers"] == wanted
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "DELETE"])
async def test_an_allowed_page_may_use_every_method_of_the_api(method: str) -> None:
    async with a_client(JWT, cors_origins=(APP,)) as client:
        assert (await preflight(client, APP, Method=method)).status_code == 200


async def test_an_allowed_page_may_ask_every_route_with_every_method_that_it_has() -> None:
    settings = Settings(identity=JWT, server=ServerSettings(cors_origins=(APP,)))
    app = create_app(settings, container=memory_container(settings))
    asked = {"Origin": APP, "Access-Control-Request-Headers": "authorization,content-type,last-event-id"}
    paths = app.openapi()["paths"]
    refused: list[str] = []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000"
    ) as client:
        for path, methods in paths.items():
            for method in map(str.upper, methods):
                answer = await client.options(
                    path.replace("{", "").replace("}", ""),
                    headers=asked | {"Access-Control-Request-Method": method},
                )
                if answer.status_code != 200 or method not in answer.headers["access-control-allow-methods"]:
                    refused.append(f"{method} {path}: {answer.status_code}")

    assert len(paths) > 10
    assert refused == []


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((APP,), APP, APP),
        (("https://app.example:443/",), APP, APP),
        (("http://localhost:*",), "http://localhost:61234", "http://localhost:61234"),
        (("http://localhost:*",), "http://localhost", "http://localhost"),
        (("http://localhost:*",), "http://localhost.evil.example:61234", None),
        (("http://localhost:*",), "https://localhost:61234", None),
        (("capacitor://localhost",), "capacitor://localhost", "capacitor://localhost"),
        (("*",), "https://anybody.example", "*"),
    ],
)
async def test_a_page_of_an_allowed_origin_reads_the_headers_that_it_needs_and_sends_no_cookies(
    origins: tuple[str, ...], origin: str, allowed: str | None
) -> None:
    async with a_client(JWT, cors_origins=origins) as client:
        asked = await preflight(client, origin, Headers="authorization,last-event-id,idempotency-key")
        read = await client.get("/api/v1/agent/capabilities", headers={"Origin": origin})

    assert asked.status_code == (403 if allowed is None else 200)
    assert read.status_code == 401
    shown = set(read.headers.get("access-control-expose-headers", "").split(", "))
    for answer in (asked, read):
        assert answer.headers.get("access-control-allow-origin") == allowed
        assert "access-control-allow-credentials" not in answer.headers
    if allowed is not None:
        assert {"Location", "Retry-After", "X-Request-Id", "WWW-Authenticate", "ETag"} <= shown
        assert allowed == "*" or "Origin" in read.headers["vary"]


async def test_an_allowed_page_may_reach_a_private_network_and_no_other_page() -> None:
    async with a_client(JWT, cors_origins=(APP,)) as client:
        allowed = await preflight(client, APP, Private_Network="true")
        refused = await preflight(client, "https://evil.example", Private_Network="true")

    assert (allowed.status_code, allowed.headers["access-control-allow-private-network"]) == (200, "true")
    assert "access-control-allow-private-network" not in refused.headers


@pytest.mark.parametrize("origin", ["http://localhost:5173", "https://evil.example"])
async def test_a_refused_page_is_told_which_setting_allows_it(origin: str) -> None:
    async with a_client(JWT, cors_origins=(APP,)) as client:
        with capture_logs() as lines:
            answer = await preflight(client, origin, Headers="authorization")

    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert "access-control-allow-origin" not in answer.headers
    assert f"AGENT_SERVER__CORS_ORIGINS='[\"{origin}\"]'" in answer.json()["detail"]
    assert answer.json()["instance"] == "/api/v1/agent/runs"
    (refused, _) = lines
    assert (refused["event"], refused["origin"]) == ("cors_origin_refused", origin)


async def test_a_page_without_an_origin_is_not_told_to_allow_null() -> None:
    async with a_client(JWT) as client:
        detail = (await preflight(client, "null")).json()["detail"]

    assert "AGENT_SERVER__CORS_ORIGINS" in detail
    assert '"null"' not in detail


@pytest.mark.parametrize("identity", [JWT, LOCAL], ids=["jwt", "local"])
@pytest.mark.parametrize("origin", FOREIGN_PAGES)
async def test_no_foreign_page_counts_as_one_of_this_machine(identity: IdentitySettings, origin: str) -> None:
    async with a_client(identity, cors_loopback=True) as client:
        assert (await preflight(client, origin)).status_code == 403
        read = await client.get("/api/v1/agent/capabilities", headers={"Origin": origin})

    assert read.status_code in {401, 403}
    assert "access-control-allow-origin" not in read.headers


@pytest.mark.parametrize("origin", LOCAL_PAGES)
async def test_pages_of_this_machine_may_call_in_local_mode_and_where_it_is_set(origin: str) -> None:
    for identity, setting, status in [(LOCAL, False, 200), (JWT, True, 200), (JWT, False, 403)]:
        async with a_client(identity, cors_loopback=setting) as client:
            answer = await preflight(client, origin, Headers="content-type")
            assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (
                status,
                origin if status == 200 else None,
            )


async def test_a_rebound_name_is_refused_however_its_page_is_called() -> None:
    # DNS rebinding: the browser sends the attacker's name, with an origin of its own or, to the same origin, none.
    async with a_client(LOCAL) as client:
        for headers in ({}, {"Origin": "http://rebound.example:8000"}, {"Origin": "http://localhost:8000"}):
            host = {"Host": "rebound.example:8000"}
            read = await client.get("/api/v1/agent/capabilities", headers=host | headers)
            assert read.status_code == 403
