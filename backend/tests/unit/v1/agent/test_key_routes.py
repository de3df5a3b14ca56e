"""The routes of API keys before anything is stored: for admins only, and what is no key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.support.failing_engine import AWAY, FailingEngine
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core.agentscope.schemas.api_keys import KeyPlace
from core.api_keys.keeper import KeyKeeper
from core.api_keys.key_store import KeyStore
from core.config import IdentitySettings, Settings
from core.identity import CredentialKind, Principal

KEYS = "/api/v1/agent/keys"
SETTINGS = Settings(identity=IdentitySettings(mode="local"))


@pytest.fixture
def engine() -> FailingEngine:
    return FailingEngine(AWAY)


@pytest.fixture
def app(engine: FailingEngine) -> FastAPI:
    keeper = KeyKeeper(KeyStore(engine.as_engine()))
    return create_app(SETTINGS, container=memory_container(SETTINGS, keys=keeper))


@pytest.fixture
def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")


def acting(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, *scopes: str, kind: CredentialKind = "token"
) -> None:
    async def authenticate(_headers: object) -> Principal:
        return Principal("t", "ada", scopes=frozenset(scopes), kind=kind, credential_id="4fQ2bX9mTz7K.1")

    monkeypatch.setattr(app.state.container.authenticator, "authenticate", authenticate)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/userId"),
        ({"userId": ""}, "/userId"),
        ({"userId": "robot", "scopes": ["everything"]}, "/scopes"),
        ({"userId": "robot", "scopes": ["agent:sales"]}, "/scopes"),
        ({"userId": "robot", "scopes": "run"}, "/scopes"),
        ({"userId": "robot", "expiresInDays": 0}, "/expiresInDays"),
        ({"userId": "robot", "expiresInDays": 367}, "/expiresInDays"),
        ({"userId": "robot", "expiresInDays": "always"}, "/expiresInDays"),
        ({"userId": "robot", "name": "a\nb"}, "/name"),
    ],
    ids=str,
)
async def test_a_key_that_may_not_be_is_refused_with_its_place(
    client: httpx.AsyncClient, engine: FailingEngine, body: dict[str, Any], pointer: str
) -> None:
    refused = await client.post(KEYS, json=body)

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-request")
    assert refused.json()["errors"][0]["pointer"].startswith(pointer)
    assert engine.begun == 0


REQUESTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "", {"userId": "robot"}),
    ("GET", "", None),
    ("POST", "/4fQ2bX9mTz7K/rotate", {}),
    ("DELETE", "/4fQ2bX9mTz7K", None),
]


@pytest.mark.parametrize("scopes", [("run", "read"), ("run", "read", "admin", "agent:sales")], ids=str)
@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_only_an_admin_of_every_agent_administers_keys(
    app: FastAPI,
    client: httpx.AsyncClient,
    engine: FailingEngine,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    scopes: tuple[str, ...],
) -> None:
    acting(app, monkeypatch, *scopes)
    refused = await client.request(method, KEYS + path, json=body)

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert engine.begun == 0


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_an_outage_is_told(
    client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None
) -> None:
    told = await client.request(method, KEYS + path, json=body)

    assert (told.status_code, told.json()["code"]) == (503, "store-unavailable")


@pytest.mark.parametrize("before", ["x", "", "MS4=", "OTk5OTk5OTk5OTk5OTk5OTk5LmE="])
async def test_a_place_that_no_page_gave_is_refused(client: httpx.AsyncClient, before: str) -> None:
    refused = await client.get(KEYS, params={"before": before})

    assert refused.json()["errors"][0]["pointer"] == "/query/before"


def test_a_place_is_read_as_it_was_written() -> None:
    place = KeyPlace(datetime(2026, 11, 27, 1, 2, 3, 456789, tzinfo=UTC), "4fQ2bX9mTz7K")

    assert KeyPlace.parse(str(place)) == place
