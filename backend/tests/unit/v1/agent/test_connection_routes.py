"""The routes of connections over HTTP: what is refused before anything is stored, and what is said of an outage."""

from __future__ import annotations

import os
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from tests.support.failing_engine import AWAY, FailingEngine
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core.agentscope.runtime.profile.user_servers import NamedServer
from core.agentscope.schemas.connections import TokenCommand
from core.config import IdentitySettings, Settings
from core.connections.store import ConnectionStore
from core.connections.vault import Vault
from v1.agent.connection_directory import ConnectionDirectory

BASE = "/api/v1/agent/connections"
SETTINGS = Settings(identity=IdentitySettings(mode="local"))
HERE = "https://mcp.example.com/mcp"
SERVERS = [
    NamedServer("support", "github", HERE, "user-token"),
    NamedServer("support", "tickets", HERE, "oauth"),
    NamedServer("support", "app", HERE, None),
    NamedServer("support", "program", "", None),
    NamedServer("sales", "crm", HERE, "user-token"),
]


@pytest.fixture
def engine() -> FailingEngine:
    return FailingEngine(AWAY)


@pytest.fixture
def client(engine: FailingEngine) -> httpx.AsyncClient:
    store = ConnectionStore(engine.as_engine(), Vault([os.urandom(32)]))
    connections = ConnectionDirectory(store, SERVERS, lambda _principal: {"support"})
    app = create_app(SETTINGS, container=memory_container(SETTINGS, connections=connections))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("server", "status", "code"),
    [
        ("no-such", 404, "not-found"),
        # An agent that the caller may not use names it.
        ("crm", 404, "not-found"),
        ("tickets", 409, "token-not-wanted"),
        ("app", 409, "token-not-wanted"),
        ("program", 409, "token-not-wanted"),
        ("a b", 422, "invalid-request"),
    ],
)
async def test_a_server_that_takes_no_token_of_the_caller(
    client: httpx.AsyncClient, engine: FailingEngine, server: str, status: int, code: str
) -> None:
    async with client:
        refused = await client.put(f"{BASE}/{server}", json={"token": "canary"})

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert engine.begun == 0


@pytest.mark.parametrize(
    ("body", "pointer", "told"),
    [
        ({}, "/token", "Field required"),
        ({"token": None}, "/token", "valid string"),
        ({"token": 5}, "/token", "valid string"),
        ({"token": ["canary"]}, "/token", "valid string"),
        ({"token": "  "}, "/token", "1 to 8192 characters"),
        ({"token": "c" * 8193}, "/token", "1 to 8192 characters"),
        ({"token": "can ary"}, "/token", "U+0020"),
        ({"token": "canary\r\nX-Admin: 1"}, "/token", "U+000D"),
        ({"token": "canäry"}, "/token", "U+00E4"),
        ({"token": "Bearer canary"}, "/token", "begins with Bearer"),
        ({"token": '"canary"'}, "/token", "in quotes"),
        ({"token": "canary", "expiresAt": "2020-01-01T00:00:00Z"}, "/expiresAt", "is over already"),
        ({"token": "canary", "expiresAt": "2099-01-01T00:00:00"}, "/expiresAt", "timezone"),
        ({"token": "canary", "expiresAt": "soon"}, "/expiresAt", "datetime"),
        ([], "", "valid dictionary"),
    ],
)
async def test_a_body_that_is_no_token_is_refused_and_not_repeated(
    client: httpx.AsyncClient, engine: FailingEngine, body: Any, pointer: str, told: str
) -> None:
    async with client:
        refused = await client.put(f"{BASE}/github", json=body)

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-request")
    (error,) = refused.json()["errors"]
    assert error["pointer"] == pointer
    assert told in error["message"]
    assert not error["message"].startswith("Value error")
    assert "canary" not in refused.text
    assert engine.begun == 0


def test_no_text_of_a_refused_token_has_the_token() -> None:
    with pytest.raises(ValidationError) as caught:
        TokenCommand.model_validate({"token": "can ary"})

    assert "can ary" not in str(caught.value)
    assert "canary" not in repr(TokenCommand.model_validate({"token": "canary"}))


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PUT", "/github"), ("DELETE", "/github")])
async def test_an_outage_is_told_as_elsewhere(client: httpx.AsyncClient, method: str, path: str) -> None:
    async with client:
        refused = await client.request(method, BASE + path, json={"token": "canary"})

    assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
    assert "retry-after" in refused.headers


async def test_other_methods_say_which_there_are(client: httpx.AsyncClient) -> None:
    async with client:
        one = await client.get(f"{BASE}/github")
        allowed = await client.options(
            f"{BASE}/github",
            headers={"Origin": "http://localhost:5173", "Access-Control-Request-Method": "PUT"},
        )

    assert (one.status_code, one.headers["allow"]) == (405, "DELETE, PUT")
    assert allowed.status_code == 200
    assert "PUT" in allowed.headers["access-control-allow-methods"]
