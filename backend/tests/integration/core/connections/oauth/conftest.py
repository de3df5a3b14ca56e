"""Three processes of the service, and the servers at which users log in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from tests.support.limits import HUNG_SECONDS
from tests.support.oauth_place import Place, Process, placed

from core.config import DatabaseSettings
from core.database import create_engine


@pytest.fixture(autouse=True)
def _nothing_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """These servers answer at once, unless the machine is busy: patience that ends would be another outcome."""
    for name in ("grant_keeper.PATIENCE_SECONDS", "refresh_pace.WAIT_SECONDS", "exchange._WITHDRAW_SECONDS"):
        monkeypatch.setattr(f"core.connections.oauth.{name}", HUNG_SECONDS)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with placed() as place:
        yield place


@pytest.fixture
async def processes(database_url: str) -> AsyncIterator[list[Process]]:
    """Three of them, with two connections to Postgres each."""
    settings = DatabaseSettings(
        url=SecretStr(database_url),
        pool_size=2,
        pool_timeout_seconds=HUNG_SECONDS,
        statement_timeout_seconds=HUNG_SECONDS,
        lock_timeout_seconds=HUNG_SECONDS,
    )
    engines = [create_engine(settings, application_name=f"test-{number}") for number in range(3)]
    yield [Process(engine) for engine in engines]
    for engine in engines:
        await engine.dispose()


@pytest.fixture
def process(processes: list[Process]) -> Process:
    return processes[0]
