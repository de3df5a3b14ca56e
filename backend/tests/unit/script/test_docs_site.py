"""The documentation site is built without a warning, and loads nothing from another host."""

from __future__ import annotations

import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.support.limits import INSTALL_SECONDS

_ROOT = Path(__file__).parents[4]
_REMOTE = re.compile(r"(?:https?:)?//[\w.-]+")
_IN_STYLE = re.compile(r"(?:url\(|@import\s+)['\"]?((?:https?:)?//[^'\")\s]+)")
_IN_SCRIPT = re.compile(r"""["'`](https?://[^"'`\s]*)["'`]""")
# What a browser loads by itself; links that a person follows are not among them.
_LOADED = {"src", "srcset", "data", "poster", "action", "formaction", "xlink:href"}
# Addresses in the theme's scripts that are never asked: names of namespaces, and a GitLab that a site may name.
_NEVER_ASKED = re.compile(r"https?://(?:www\.w3\.org/.*|)$|https://\$\{")


class Loads(HTMLParser):
    """Collects the addresses on other hosts that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        names = set(_LOADED)
        if tag == "link" and values.get("rel") not in ("canonical", "prev", "next", "alternate"):
            names.add("href")
        self.found += [
            f"<{tag} {name}={values[name]}>" for name in names if _REMOTE.match(values.get(name, "").strip())
        ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [_ROOT / "script" / "docs", "--site-dir", folder],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode and "could not be installed" in done.stderr and os.environ.get("CI") != "true":
        pytest.skip(f"MkDocs cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    found: list[str] = []
    for path in site.rglob("*"):
        if path.suffix == ".html":
            page = Loads()
            page.feed(path.read_text(encoding="utf-8"))
            found += [f"{path.relative_to(site)}: {each}" for each in page.found]
        elif path.suffix in (".css", ".svg"):
            found += _IN_STYLE.findall(path.read_text(encoding="utf-8"))
        elif path.suffix == ".js":
            addresses = _IN_SCRIPT.findall(path.read_text(encoding="utf-8"))
            found += [each for each in addresses if not _NEVER_ASKED.match(each)]
    assert found == []


def test_every_page_forbids_the_browser_to_ask_another_host(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    without = [page.name for page in pages if "default-src 'self'" not in page.read_text(encoding="utf-8")]
    assert len(pages) > 50
    assert without == []


def test_the_search_finds_pages_of_every_kind(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    for place in (
        "tutorial.html",
        "architecture.html",
        "adr/0002",
        "reference/api.html",
        "problems.html#run-active",
    ):
        assert f'"location":"{place}' in index


def test_the_reference_has_every_route_and_every_name_that_users_import(site: Path) -> None:
    routes = (site / "reference" / "api.html").read_text(encoding="utf-8")
    names = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for route in ("POST /api/v1/agent/runs", "GET /api/v1/agent/history", "POST /api/v1/agent/transcribe"):
        assert route in routes
    for name in ("agentroute.tools.tool", "agentroute.agents.AgentRun", "agentroute.tools.ToolContext"):
        assert f'id="{name}"' in names
