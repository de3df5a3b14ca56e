"""The routes of operators on a port of their own."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core.config import IdentitySettings, ServerSettings, Settings
from v1.agent.route_access import ACCESS, is_admin_path

SECRET = "a-secret-of-more-than-thirty-two-bytes"
PORT = 9001
PUBLIC_PLACES = (
    "/api/v1/agent/capabilities",
    "/",
    "/docs",
    "/openapi.json",
    "/problems/forbidden",
    "/nothing",
)
ADMIN_PLACES = ("/api/v1/admin/access", "/api/v1/admin", "/api/v1/admin/nothing")


def an_app(admin_port: int | None) -> FastAPI:
    settings = Settings(
        identity=IdentitySettings.model_validate({"jwt_secret": SECRET}),
        server=ServerSettings(admin_port=admin_port),
    )
    return create_app(settings, container=memory_container(settings))


async def statuses(app: FastAPI, port: int, scope: str, *paths: str) -> list[int]:
    now = int(time.time())
    token = jwt.encode({"sub": "op", "iat": now, "exp": now + 60, "scope": scope}, SECRET, algorithm="HS256")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url=f"http://test:{port}",
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
    ) as client:
        return [(await client.get(path)).status_code for path in paths]


async def test_on_their_port_there_are_only_the_routes_of_operators() -> None:
    app = an_app(PORT)

    assert await statuses(app, PORT, "admin", *ADMIN_PLACES) == [200, 404, 404]
    assert await statuses(app, PORT, "run read", "/api/v1/admin/access", "/healthz", "/readyz") == [
        403,
        200,
        200,
    ]
    assert set(await statuses(app, PORT, "run read admin", *PUBLIC_PLACES)) == {404}


async def test_on_other_ports_they_look_absent() -> None:
    app = an_app(PORT)

    assert set(await statuses(app, 8000, "admin", *ADMIN_PLACES)) == {404}
    assert await statuses(app, 8000, "read", "/api/v1/agent/capabilities", "/healthz") == [200, 200]


async def test_absent_looks_the_same_everywhere() -> None:
    texts: set[str] = set()
    for app, port in ((an_app(PORT), PORT), (an_app(PORT), 8000), (an_app(None), 8000)):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=f"http://test:{port}"
        ) as client:
            response = await client.get("/api/v1/admin/nothing")
            texts.add(response.text.replace(response.headers["x-request-id"], ""))
    assert len(texts) == 1


async def test_without_such_a_port_they_are_with_the_others() -> None:
    assert await statuses(an_app(None), 8000, "admin", "/api/v1/admin/access") == [200]
    assert await statuses(an_app(None), 8000, "run read", "/api/v1/admin/access") == [403]


async def test_operators_are_shown_the_table() -> None:
    app = an_app(None)
    now = int(time.time())
    token = jwt.encode(
        {"sub": "op", "iat": now, "exp": now + 60, "scope": "admin"}, SECRET, algorithm="HS256"
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        body: dict[str, Any] = (
            await client.get("/api/v1/admin/access", headers={"Authorization": f"Bearer {token}"})
        ).json()

    assert [(row["method"], row["path"]) for row in body["routes"]] == list(ACCESS)
    assert all(row["scope"] == "admin" for row in body["routes"] if row["roles"] == ["admin"])


def test_every_route_of_operators_and_no_other_is_on_their_port() -> None:
    for (_, path), access in ACCESS.items():
        assert is_admin_path(path) is (access.scope == "admin"), path
    for path in ("/api/v1/administrators", "/api/v1/agent/runs", "//api/v1/admin/access", ""):
        assert not is_admin_path(path)


def test_the_two_ports_differ() -> None:
    with pytest.raises(ValidationError, match="AGENT_SERVER__ADMIN_PORT must differ"):
        ServerSettings(port=8000, admin_port=8000)
