"""The application over the in-memory ports, and clients of two users."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import jwt
import pytest
from fastapi import FastAPI
from tests.support.memory_container import memory_container
from tests.support.memory_ports import MemoryRuns

from agentroute.app import create_app
from core.config import IdentitySettings, LimitSettings, ServerSettings, Settings
from core.identity import Principal

SECRET = "a-secret-of-more-than-thirty-two-bytes"


@pytest.fixture
def settings() -> Settings:
    return Settings(
        identity=IdentitySettings.model_validate({"jwt_secret": SECRET}),
        server=ServerSettings(cors_origins=("https://app.example",)),
        limits=LimitSettings(max_body_bytes=1 << 16, max_messages=5, max_message_bytes=1024, max_tools=2),
    )


@pytest.fixture
def runs() -> MemoryRuns:
    return MemoryRuns()


_BUILT: list[tuple[Settings, FastAPI]] = []


@pytest.fixture
def app(settings: Settings, runs: MemoryRuns) -> Iterator[FastAPI]:
    """Return the application with these settings and this test's container.

    Built once for equal settings: FastAPI works out what its routes depend on, which takes longer than many a test.
    """
    built = next((app for known, app in _BUILT if known == settings), None)
    if built is None:
        built = create_app(settings)
        _BUILT.append((settings, built))
    built.state.container = memory_container(settings, runs)
    yield built
    built.dependency_overrides.clear()


Connect = Callable[[str | None], httpx.AsyncClient]


@pytest.fixture
async def connect(app: FastAPI) -> AsyncIterator[Connect]:
    """Return a client of a user; of nobody for ``None``."""
    clients: list[httpx.AsyncClient] = []

    def connect(user: str | None) -> httpx.AsyncClient:
        now = int(time.time())
        token = jwt.encode({"sub": user, "iat": now, "exp": now + 60}, SECRET, algorithm="HS256")
        headers = {"Authorization": f"Bearer {token}"} if user else {}
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test", headers=headers
        )
        clients.append(client)
        return client

    yield connect
    for client in clients:
        await client.aclose()


@pytest.fixture
def ada(connect: Connect) -> httpx.AsyncClient:
    return connect("ada")


@pytest.fixture
def eve(connect: Connect) -> httpx.AsyncClient:
    return connect("eve")


@pytest.fixture
def ada_principal() -> Principal:
    return Principal("default", "ada")
