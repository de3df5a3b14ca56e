"""The pages of a login over HTTP: what a browser is shown when a login cannot go on here."""

from __future__ import annotations

import os
import re

import httpx
import pytest
from tests.support.failing_engine import AWAY, FailingEngine
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core.config import IdentitySettings, Settings
from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.login import Logins, OpenLogin, TooManyAttempts
from core.connections.oauth.login_links import LoginLinks
from core.connections.oauth.login_store import LoginStore
from core.connections.oauth.server import OAuthServer
from core.connections.store import ConnectionStore
from core.connections.vault import Vault

SETTINGS = Settings(identity=IdentitySettings(mode="local"))
BASE = "/api/v1/agent/connections"


class Reached(Logins):
    """Logins whose pages can be opened, at a link that was tried too often."""

    async def open(self, link: str) -> OpenLogin:
        return OpenLogin("mail", "m.example", "ada")

    async def leave(self, link: str, browser: str) -> str:
        raise TooManyAttempts


def browser(kind: type[Logins]) -> httpx.AsyncClient:
    """Return a browser at a service whose Postgres is away."""
    engine, vault = FailingEngine(AWAY).as_engine(), Vault([os.urandom(32)])
    logins = kind(
        {"mail": OAuthServer("mail", "https://m.example/mcp")},
        LoginLinks("http://127.0.0.1:8000", lasts_seconds=60),
        LoginStore(engine, vault),
        ClientStore(engine, vault),
        ConnectionStore(engine, vault),
        OAuthHttp(),
    )
    app = create_app(SETTINGS, container=memory_container(SETTINGS, logins=logins))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")


@pytest.mark.parametrize("path", ["/login/some-link", "/callback/mail?state=s&code=canary"])
async def test_a_browser_is_shown_a_page_while_postgres_is_away(path: str) -> None:
    async with browser(Logins) as client:
        answer = await client.get(f"{BASE}{path}")

    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "open the address of the login again" in answer.text
    assert "canary" not in answer.text
    assert answer.headers["retry-after"] == "10"


@pytest.mark.parametrize("field", [b"page=%C3%A9", b"page=%ED%A0%80", b"page=\xff", b"page", b"\x00"])
async def test_a_field_that_no_page_has_is_another_page(field: bytes) -> None:
    async with browser(Reached) as client:
        for cookie in (b"b", b"\xe9"):
            form = b"application/x-www-form-urlencoded"
            sent = httpx.Headers([(b"content-type", form), (b"cookie", b"agentroute-login=" + cookie)])
            answer = await client.post(f"{BASE}/login/some-link", content=field, headers=sent)
            assert (answer.status_code, "Allow cookies" in answer.text) == (403, True)
            assert (await client.get(f"{BASE}/login/some-link", headers=sent)).status_code == 200


async def test_a_link_that_was_tried_too_often_says_so() -> None:
    async with browser(Reached) as client:
        page = await client.get(f"{BASE}/login/some-link")
        (value,) = re.findall(r'name="page" value="([0-9a-f]{64})"', page.text)
        answer = await client.post(f"{BASE}/login/some-link", data={"page": value})

    assert (answer.status_code, "tried too often" in answer.text) == (429, True)
