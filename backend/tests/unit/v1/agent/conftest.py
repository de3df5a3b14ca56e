"""The application over the in-memory ports, and clients of two users."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from tests.support.memory_ports import MemoryRuns
from tests.support.memory_threads import MemoryThreads

from agentroute.app import create_app
from agentroute.readiness import Readiness
from core.config import IdentitySettings, LimitSettings, ServerSettings, Settings
from core.identity import Authenticator, Principal
from v1.agent.capabilities import agent_capabilities
from v1.agent.service import AgentService

SECRET = "a-secret-of-more-than-thirty-two-bytes"


@dataclass
class FakeContainer:
    """What ``agentroute.container`` opens, without anything to open."""

    runs: MemoryRuns
    service: AgentService
    threads: MemoryThreads
    authenticator: Authenticator
    drain: asyncio.Event
    transcription: Any = None
    usage: Any = None
    found: Readiness = field(default_factory=lambda: Readiness(postgres=True, migrations=True, redis=True))
    capabilities: dict[str, Any] = field(
        default_factory=lambda: agent_capabilities(
            name="Test agent",
            version="1.2.3",
            description="Answers.",
            tools=[{"name": "calculate", "description": "Does sums.", "parameters": {"type": "object"}}],
            max_iterations=10,
            max_run_seconds=600,
        )
    )

    async def readiness(self) -> Readiness:
        return self.found


@pytest.fixture
def settings() -> Settings:
    return Settings(
        identity=IdentitySettings.model_validate({"jwt_secret": SECRET}),
        server=ServerSettings(cors_origins=("https://app.example",)),
        limits=LimitSettings(max_body_bytes=1 << 16, max_messages=5, max_message_bytes=1024, max_tools=2),
    )


@pytest.fixture
def container(settings: Settings) -> FakeContainer:
    drain = asyncio.Event()
    runs = MemoryRuns(drain)
    return FakeContainer(
        runs=runs,
        service=AgentService(runtime=runs, events=runs, limits=settings.limits, draining=drain.is_set),
        threads=MemoryThreads(runs),
        authenticator=Authenticator(settings.identity, server=settings.server),
        drain=drain,
    )


@pytest.fixture
def runs(container: FakeContainer) -> MemoryRuns:
    return container.runs


@pytest.fixture
def app(settings: Settings, container: FakeContainer) -> FastAPI:
    return create_app(settings, container=container)


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
