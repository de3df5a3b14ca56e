"""The routes of operators on a port of their own."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp
from tests.support.memory_container import memory_container

from agentroute.admin_port import AdminPort
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


ROUTES_OF_OPERATORS = [
    (method, path.replace("{", "").replace("}", ""))
    for (method, path), access in ACCESS.items()
    if access.scope == "admin"
]
ROUTES_OF_OTHERS = [
    (method, path.replace("{", "").replace("}", ""))
    for (method, path), access in ACCESS.items()
    if access.scope != "admin" and "embedded" not in path
]


def an_app(admin_port: int | None, *only: str) -> FastAPI:
    settings = Settings(
        identity=IdentitySettings.model_validate({"jwt_secret": SECRET}),
        server=ServerSettings.model_validate({"admin_port": admin_port, "admin_only": only}),
    )
    return create_app(settings, container=memory_container(settings))


async def statuses(app: ASGIApp, port: int, scope: str, *paths: str) -> list[int]:
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


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("docs", ("/docs", "/docs/assets/swagger-ui.css", "/openapi.json")),
        ("readyz", ("/readyz",)),
        ("healthz", ("/healthz",)),
    ],
)
async def test_what_is_moved_is_on_the_port_of_operators_alone(name: str, paths: tuple[str, ...]) -> None:
    here, moved = an_app(PORT), an_app(PORT, name)
    others = {"/docs", "/openapi.json", "/readyz", "/healthz", "/problems/forbidden", "/"} - {*paths}

    assert set(await statuses(here, 8000, "", *paths)) == {200}
    assert set(await statuses(moved, PORT, "", *paths)) == {200}
    assert set(await statuses(moved, 8000, "", *paths)) == {404}
    assert await statuses(moved, 8000, "", *others) == await statuses(here, 8000, "", *others)
    assert await statuses(moved, PORT, "", *others) == await statuses(here, PORT, "", *others)


async def test_what_only_begins_like_a_moved_path_stays() -> None:
    app = AdminPort(PlainTextResponse("here"), PORT, ["docs"])

    assert await statuses(app, 8000, "", "/docs", "/docs/", "/docsx", "/openapi.jsonx") == [
        404,
        404,
        200,
        200,
    ]
    assert await statuses(app, PORT, "", "/docs", "/docs/", "/docsx", "/openapi.jsonx") == [
        200,
        200,
        404,
        404,
    ]


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


SPELLINGS = {
    "as it is": ("{}", ""),
    "with a line feed": ("{}%0A", ""),
    "with a carriage return": ("{}%0D", ""),
    "with NUL": ("{}%00", ""),
    "with a slash": ("{}/", ""),
    "with two slashes": ("/{}", ""),
    "with a dot": ("/.{}", ""),
    "below a prefix": ("/prefix{}", "/prefix"),
    "below a prefix that a proxy took away": ("{}", "/prefix"),
    "below a prefix, with a line feed": ("/prefix{}%0A", "/prefix"),
    "below a prefix of theirs": ("/api/v1/agent{}", "/api/v1/agent"),
    "with a prefix that is a beginning": ("{}", "/api"),
}
"""How a path may be written, and the prefix under which the application is mounted."""


async def answers(
    app: FastAPI, port: int, spelling: str, places: list[tuple[str, str]]
) -> list[tuple[str, str, int]]:
    form, root_path = SPELLINGS[spelling]
    now = int(time.time())
    claims = {"sub": "op", "iat": now, "exp": now + 60, "scope": "run read admin"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, root_path=root_path),
        base_url=f"http://test:{port}",
        headers={"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"},
    ) as client:
        return [
            (method, path, (await client.request(method, form.format(path))).status_code)
            for method, path in places
        ]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_a_path_opens_the_other_port(spelling: str) -> None:
    app = an_app(PORT)

    for port, places in ((8000, ROUTES_OF_OPERATORS), (PORT, ROUTES_OF_OTHERS)):
        assert {status for _, _, status in await answers(app, port, spelling, places)} == {404}


@pytest.mark.parametrize("spelling", ["as it is", "below a prefix", "below a prefix that a proxy took away"])
async def test_each_port_has_its_routes_below_a_prefix_too(spelling: str) -> None:
    app = an_app(PORT)
    form, root_path = SPELLINGS[spelling]

    found = await answers(
        app, PORT, spelling, [("GET", "/api/v1/admin/access"), ("GET", "/healthz"), ("GET", "/readyz")]
    )
    assert [status for _, _, status in found] == [200, 200, 200]
    found = await answers(app, 8000, spelling, [("GET", "/api/v1/agent/capabilities"), ("GET", "/healthz")])
    assert [status for _, _, status in found] == [200, 200], (form, root_path)


async def test_a_route_is_asked_again_when_the_path_was_taken_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Whatever the comparison of paths oversees.
    monkeypatch.setattr("agentroute.admin_port.is_admin_path", lambda _path: False)
    assert {
        status for _, _, status in await answers(an_app(PORT), 8000, "as it is", ROUTES_OF_OPERATORS)
    } == {404}
    monkeypatch.setattr("agentroute.admin_port.is_admin_path", lambda _path: True)
    assert {status for _, _, status in await answers(an_app(PORT), PORT, "as it is", ROUTES_OF_OTHERS)} == {
        404
    }


def test_every_route_of_operators_and_no_other_is_on_their_port() -> None:
    for (_, path), access in ACCESS.items():
        assert is_admin_path(path) is (access.scope == "admin"), path
    for path in ("/api/v1/administrators", "/api/v1/agent/runs", "//api/v1/admin/access", ""):
        assert not is_admin_path(path)


def test_nothing_is_moved_to_a_port_that_is_not_there() -> None:
    with pytest.raises(ValidationError, match="set AGENT_SERVER__ADMIN_PORT"):
        ServerSettings(admin_only=("docs",))


def test_readiness_is_asked_where_it_answers() -> None:
    ports = {"host": "127.0.0.1", "port": 8000, "admin_host": "127.0.0.2", "admin_port": PORT}
    assert ServerSettings.model_validate(ports).readiness == ("127.0.0.1", 8000)
    moved = ServerSettings.model_validate(ports | {"admin_only": ["readyz"]})
    assert moved.readiness == ("127.0.0.2", PORT)


def test_the_two_ports_differ() -> None:
    with pytest.raises(ValidationError, match="AGENT_SERVER__ADMIN_PORT must differ"):
        ServerSettings(port=8000, admin_port=8000)
