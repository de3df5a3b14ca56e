"""The chat page is served with its policy, once to each browser, below any path; a checkout without it says so."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.support.memory_container import READY, memory_container

from agentroute.app import create_app
from agentroute.page.built_files import BUILT, BuiltFiles
from agentroute.page.routes import POLICY, install_page
from core.config import IdentitySettings, ServerSettings, Settings
from core.problem import install_problem_handlers
from core.readiness import Readiness

MAX_GZIP_BYTES = 110_000
"""What a browser loads to show a conversation."""
MAX_TOTAL_GZIP_BYTES = 168_000
"""All files, also of panels that few open. docs/adr/0051 says what was left out for it."""
MAX_CHUNK_GZIP_BYTES = 25_000
"""A part that is loaded when somebody opens it, such as the inspector, or highlighting when there is code."""


async def _ready() -> Readiness:
    return READY


def _client(app: FastAPI, root_path: str = "") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, root_path=root_path)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


def _app(*, page: bool = True) -> FastAPI:
    settings = Settings(identity=IdentitySettings(mode="local"), server=ServerSettings(page=page))
    return create_app(settings, container=memory_container(settings, readiness=_ready))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with _client(_app()) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<p>page</p>")
    (tmp_path / "index.js").write_text("go()")
    return tmp_path


async def test_every_file_comes_with_the_policy_and_its_type(client: httpx.AsyncClient) -> None:
    types = {"index.js": "text/javascript", "index.css": "text/css", "favicon.svg": "image/svg+xml"}
    for name, media_type in {"": "text/html", **types}.items():
        answer = await client.get(f"/{name}")

        assert answer.status_code == 200, name
        assert answer.headers["content-type"].startswith(media_type)
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache"


async def test_an_unchanged_file_is_sent_once(client: httpx.AsyncClient) -> None:
    first = await client.get("/index.js")
    weak = f'"other", W/{first.headers["etag"]}'

    for tags in (first.headers["etag"], weak, "*"):
        again = await client.get("/index.js", headers={"If-None-Match": tags})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    plain = await client.get("/index.js", headers={"Accept-Encoding": "identity"})
    assert first.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert plain.headers["etag"] != first.headers["etag"]
    assert plain.content == first.content


async def test_head_has_the_headers_of_get(client: httpx.AsyncClient) -> None:
    answer = await client.head("/")

    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.content == b""


async def test_the_page_works_below_a_path_of_a_proxy() -> None:
    async with _client(_app(), root_path="/chat") as client:
        page = await client.get("/chat/")

    assert page.status_code == 200
    # Relative addresses only: the files are beside the page, wherever it is.
    assert 'src="./index.js"' in page.text
    assert 'src="/' not in page.text
    assert 'href="/' not in page.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_root_path_without_its_slash_leads_to_the_page(method: str) -> None:
    async with _client(_app(), root_path="/chat") as client:
        bare = await client.request(method, "/chat")
        asked = await client.request(method, "/chat?thread=t-1")
        wrong = await client.post("/chat")
        other = await client.request(method, "/chatter")

    # Not an address: it would contain whatever the Host header says.
    assert (bare.status_code, bare.headers["location"]) == (307, "/chat/")
    assert (asked.status_code, asked.headers["location"]) == (307, "/chat/?thread=t-1")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
    assert other.status_code == 404


async def test_the_page_can_be_switched_off_and_is_no_part_of_the_api() -> None:
    app = _app(page=False)
    async with _client(app) as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.get("/index.js")).status_code == 404
    assert "/" not in _app().openapi()["paths"]


async def test_a_checkout_without_a_built_page_says_what_to_do(tmp_path: Path) -> None:
    app = FastAPI()
    install_problem_handlers(app)
    install_page(app, BuiltFiles(tmp_path / "built"))
    async with _client(app) as client:
        answer = await client.get("/")

    assert (answer.status_code, answer.json()["code"]) == (501, "page-not-built")
    assert "npm run build" in answer.json()["detail"]


async def test_a_new_build_is_seen_without_a_restart(folder: Path) -> None:
    app = FastAPI()
    install_page(app, BuiltFiles(folder))
    async with _client(app) as client:
        before = await client.get("/index.js")
        (folder / "index.js").write_text("go(again)")
        after = await client.get("/index.js")

    assert (before.text, after.text) == ("go()", "go(again)")
    assert before.headers["etag"] != after.headers["etag"]


def test_the_page_needs_no_inline_script_style_or_other_host() -> None:
    html = (BUILT / "index.html").read_text()

    assert "<style" not in html
    assert " style=" not in html
    assert "<script>" not in html
    assert "//" not in html.replace("<!doctype", "")


def _loaded_at_once() -> set[str]:
    """Return the files that the page's document names, and those that they import."""
    found: set[str] = set()
    waiting = ["index.html"]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        text = (BUILT / name).read_text()
        pattern = (
            r'(?:src|href)="\./([\w.-]+)"' if name == "index.html" else r'(?:from|import)\s?"\./([\w.-]+)"'
        )
        waiting += re.findall(pattern, text)
    return found


def test_the_page_is_small_and_loads_the_rest_when_it_is_asked_for() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in BUILT.iterdir()}
    first = _loaded_at_once()

    assert {"index.html", "index.js", "index.css"} <= first
    assert first.isdisjoint(
        {"inspector.js", "usage-view.js", "memory-panel.js", "your-data-panel.js", "highlight.js"}
    )
    assert sum(sizes[name] for name in first) < MAX_GZIP_BYTES, {name: sizes[name] for name in first}
    assert sum(sizes.values()) < MAX_TOTAL_GZIP_BYTES, sizes
    assert {
        name: size for name, size in sizes.items() if name not in first and size > MAX_CHUNK_GZIP_BYTES
    } == {}
