"""``agentroute rotate-secrets``: what it says, and when it fails."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.loggers import loggers_kept
from typer.testing import CliRunner

from agentroute.cli import app
from agentroute.secret_rotation import rotate_secrets
from core.config import DatabaseSettings, SecretSettings
from core.connections.store import ConnectionStore
from core.connections.vault import Vault
from core.database import create_engine
from core.errors import ConfigurationError
from core.identity import Principal

OLD, NEW = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Of a database with a token that the old key has sealed."""
    engine = create_engine(DatabaseSettings(url=SecretStr(database_url)), application_name="test")
    store = ConnectionStore(engine, Vault.of(keys(OLD)))
    await store.save(Principal("t", "ada"), "github", "https://mcp.example.com", "user-token", "token")
    yield engine
    await engine.dispose()


def keys(written: str) -> SecretSettings:
    return SecretSettings.model_validate({"key": written})


async def test_it_says_whether_older_keys_can_go(engine: AsyncEngine) -> None:
    told, complete = await rotate_secrets(engine, keys(NEW))
    assert told.startswith("0 of 1 values were encrypted anew")
    assert "1 cannot be read with these keys" in told
    assert not complete
    for written in (1, 0):
        assert await rotate_secrets(engine, keys(f"{NEW},{OLD}")) == (
            f"{written} of 1 values were encrypted anew, with the first key. "
            + "The other keys can be taken out of AGENT_SECRETS__KEY.",
            True,
        )
    assert (await rotate_secrets(engine, keys(NEW)))[1]
    assert not (await rotate_secrets(engine, keys(OLD)))[1]
    with pytest.raises(ConfigurationError, match="AGENT_SECRETS__KEY is not set"):
        await rotate_secrets(engine, keys(""))


def test_the_command_says_it_and_fails_while_something_cannot_be_read(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_DATABASE__URL", database_url)
    for key, code, words in ((NEW, 0, "0 of 0 values were encrypted anew"), ("", 2, "AGENT_SECRETS__KEY")):
        monkeypatch.setenv("AGENT_SECRETS__KEY", key)
        with loggers_kept():
            result = CliRunner().invoke(app, ["rotate-secrets"])
        assert (result.exit_code, words in result.output) == (code, True), result.output
