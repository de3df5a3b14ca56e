"""``agentroute rotate-secrets``: what it says, and when it fails."""

from __future__ import annotations

import base64
import os

import pytest

from agentroute.secret_rotation import rotate_secrets
from core.config import Settings
from core.connections.store import ConnectionStore
from core.connections.vault import Vault
from core.database import create_engine
from core.errors import ConfigurationError
from core.identity import Principal

OLD, NEW = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))


async def test_it_says_whether_older_keys_can_go(database_url: str) -> None:
    def settings(key: str) -> Settings:
        return Settings.model_validate({"database": {"url": database_url}, "secrets": {"key": key}})

    engine = create_engine(settings(OLD).database, application_name="test")
    store = ConnectionStore(engine, Vault.of(settings(OLD).secrets))
    await store.save(Principal("t", "ada"), "github", "https://mcp.example.com", "user-token", "token")
    await engine.dispose()

    told, complete = await rotate_secrets(settings(NEW))
    assert told.startswith("0 of 1 values were encrypted anew")
    assert "1 cannot be read with these keys" in told
    assert not complete
    for written in (1, 0):
        assert await rotate_secrets(settings(f"{NEW},{OLD}")) == (
            f"{written} of 1 values were encrypted anew, with the first key. "
            + "The other keys can be taken out of AGENT_SECRETS__KEY.",
            True,
        )
    assert (await rotate_secrets(settings(NEW)))[1]
    assert not (await rotate_secrets(settings(OLD)))[1]
    with pytest.raises(ConfigurationError, match="AGENT_SECRETS__KEY is not set"):
        await rotate_secrets(settings(""))
