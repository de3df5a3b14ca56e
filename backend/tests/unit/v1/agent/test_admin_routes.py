"""The routes of operators refuse what can name nobody, before anything is looked up."""

from __future__ import annotations

import httpx
import pytest
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core.config import IdentitySettings, Settings
from core.identity import Principal


@pytest.mark.parametrize("user", ["", "%00", "ada%00", "a" * 1025], ids=ascii)
async def test_an_erasure_needs_an_id_that_a_user_can_have(
    user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(identity=IdentitySettings(mode="local"))
    app = create_app(settings, container=memory_container(settings))

    async def authenticate(_headers: object) -> Principal:
        return Principal("t", "ada", scopes=frozenset({"admin"}))

    monkeypatch.setattr(app.state.container.authenticator, "authenticate", authenticate)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        reply = await client.delete(f"/api/v1/admin/users?userId={user}")

    assert reply.status_code == 422, reply.text
