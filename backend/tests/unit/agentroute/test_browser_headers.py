"""What a browser is told about every answer: which of them are pages, and what these may load, run and be framed by."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from html.parser import HTMLParser

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.responses import HTMLResponse
from tests.support.failing_engine import AWAY, FailingEngine
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from agentroute.http_context import SECURITY_HEADERS
from core.config import IdentitySettings, Settings
from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.login import LinkNotGood, Logins, OpenLogin
from core.connections.oauth.login_links import LoginLinks
from core.connections.oauth.login_store import LoginStore
from core.connections.oauth.server import OAuthServer
from core.connections.store import ConnectionStore
from core.connections.vault import Vault
from v1.agent.login_pages import ask_page, done_page, failed_page

SETTINGS = Settings(identity=IdentitySettings(mode="local"))
CONNECTIONS = "/api/v1/agent/connections"
PAGES = {
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", f"{CONNECTIONS}/login/{{loginId}}"),
    ("POST", f"{CONNECTIONS}/login/{{loginId}}"),
    ("GET", f"{CONNECTIONS}/callback/{{server}}"),
}
"""Every route that answers with a page. A new one has to be looked at before it is named here."""
HOSTILE = "<script>steal()</script><img src=x onerror=steal()>\"'&"


class OpenLogins(Logins):
    """Logins whose every link has a page."""

    async def open(self, link: str) -> OpenLogin:
        return OpenLogin("mail", "m.example", "ada")

    async def leave(self, link: str, browser: str) -> str:
        raise LinkNotGood


@pytest.fixture
def app() -> FastAPI:
    engine, vault = FailingEngine(AWAY).as_engine(), Vault([os.urandom(32)])
    logins = OpenLogins(
        {"server": OAuthServer("server", "https://m.example/mcp")},
        LoginLinks("http://127.0.0.1:8000", lasts_seconds=60),
        LoginStore(engine, vault),
        ClientStore(engine, vault),
        ConnectionStore(engine, vault),
        OAuthHttp(),
    )
    return create_app(SETTINGS, container=memory_container(SETTINGS, logins=logins))


def browser(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://127.0.0.1:8000",
        headers={"Accept": "text/html,application/xhtml+xml"},
    )


class Tags(HTMLParser):
    """Notes the tags and the names of attributes in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def rules(policy: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for rule in policy.split(";") if (words := rule.split())}


def check_page(headers: httpx.Headers, text: str) -> None:
    """Check that a page runs only what it brings, and loads nothing from other hosts."""
    policy = rules(headers["content-security-policy"])
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"], policy
    assert "form-action" in policy
    assert not {"'unsafe-inline'", "'unsafe-eval'"} & set(policy.get("script-src", []))
    for directive, sources in policy.items():
        if directive != "form-action":
            assert all(source.startswith("'") or source in {"data:", "blob:"} for source in sources), policy
    for kind in ("script", "style"):
        for inline in re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
            allowed = policy[f"{kind}-src"]
            assert f"'sha256-{digest}'" in allowed or (kind, "'unsafe-inline'") == ("style", allowed[-1])
    tags = Tags()
    tags.feed(text)
    assert not {name for name in tags.attributes if name.startswith("on") or name == "style"}


async def test_every_page_has_a_policy_and_every_answer_its_headers(app: FastAPI) -> None:
    found: set[tuple[str, str]] = set()
    async with browser(app) as client:
        for route in iter_route_contexts(app.routes):
            path = route.path or ""
            for method in route.methods or {"GET"}:
                answer = await client.request(method, path.replace("{", "").replace("}", "") or "/")
                for name, value in SECURITY_HEADERS.items():
                    assert name == "Content-Security-Policy" or answer.headers[name] == value, path
                assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
                if path.startswith("/api/"):
                    assert re.search(r"no-store|no-cache", answer.headers["cache-control"]), (method, path)
                if answer.headers.get("content-type", "").startswith("text/html"):
                    found.add((method, path))
                    check_page(answer.headers, answer.text)
                    if path.startswith("/api/"):
                        assert answer.headers["cache-control"] == "no-store", path

    assert {(method, path) for method, path in found if method != "HEAD"} == PAGES


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/docs/assets/nothing", 404),
        ("GET", "/problems/nothing", 404),
        ("DELETE", "/docs", 405),
        ("GET", "/api/v1/agent/history?threadId=%00", 422),
        ("GET", f"/{HOSTILE}", 404),
        ("GET", f"{CONNECTIONS}/login/{'x' * 200}", 422),
    ],
)
async def test_no_refusal_is_a_page(app: FastAPI, method: str, path: str, status: int) -> None:
    async with browser(app) as client:
        answer = await client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert SECURITY_HEADERS.items() <= {name: answer.headers[name] for name in SECURITY_HEADERS}.items()


@pytest.mark.parametrize(
    "page",
    [
        ask_page(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        done_page(HOSTILE),
        failed_page(HOSTILE),
        failed_page(HOSTILE, f"https://agents.example/{HOSTILE}", status=403),
    ],
    ids=["ask", "done", "failed", "failed with a link"],
)
def test_what_a_page_of_a_login_is_told_stays_text(page: HTMLResponse) -> None:
    text = bytes(page.body).decode()

    tags = Tags()
    tags.feed(text)
    assert not tags.names & {"script", "img"}
    check_page(httpx.Headers(page.headers.raw), text)
