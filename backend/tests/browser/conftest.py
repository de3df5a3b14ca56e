"""The chat page in a real, headless Chromium, in front of the running service.

Without Chromium the tests skip with the reason; in CI (``CI=true``) they fail. Every test fails when a page logs an
error, breaks its Content-Security-Policy or speaks to another host (``PageWatch``).

Playwright's calls are synchronous, and its event loop occupies the thread until the last test of this folder: write no
async test here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect
from tests.support.axe import COLOUR_RULES, violations, wait_for_rest
from tests.support.browser_tab import Look, NewTab, Site, Tab
from tests.support.chromium import ChromiumMissingError, chromium
from tests.support.embedded_service import API, bundled_service, embedded_service
from tests.support.limits import PAGE_SECONDS
from tests.support.node_project import NodeProject, NodeUnavailableError
from tests.support.page_watch import PageWatch

_HERE = Path(__file__).parent
_SCREENSHOTS = _HERE / "screenshots"
_WIDE: ViewportSize = {"width": 1440, "height": 900}
_PHONE: ViewportSize = {"width": 390, "height": 844}
_FAILED = pytest.StashKey[bool]()


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for the folder."""
    expect.set_options(timeout=PAGE_SECONDS * 1000)
    try:
        with chromium() as browser:
            yield browser
    except ChromiumMissingError as exc:
        _unavailable(str(exc))
    assert asyncio._get_running_loop() is None, "Playwright left its event loop to the tests that follow"


@pytest.fixture(scope="package")
def service(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One embedded service for the folder: each test has a thread of its own. Without Chromium none is started."""
    data = tmp_path_factory.mktemp("service") / "data"
    with embedded_service(data) as api:
        yield Site(api.removesuffix(API), api, data)


@pytest.fixture(scope="package")
def bundled(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service for tests that change its model or kill its processes; a module has it as its ``service``."""
    data = tmp_path_factory.mktemp("bundled") / "data"
    with bundled_service(data) as api:
        yield Site(api.removesuffix(API), api, data)


@pytest.fixture
def api(service: Site) -> Iterator[httpx.Client]:
    """The API as another client uses it, to compare what a page shows with what is stored."""
    with httpx.Client(base_url=service.api, timeout=PAGE_SECONDS) as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember a failure for the pages' last picture."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture
def new_tab(browser: Browser, service: Site, request: pytest.FixtureRequest) -> Iterator[NewTab]:
    """Open pages in fresh contexts; at the end nothing may be wrong with any of them."""
    opened: list[tuple[BrowserContext, PageWatch]] = []

    def new_tab(path: str = "/", **options: Any) -> Tab:
        asked: dict[str, Any] = {
            "viewport": _WIDE,
            "reduced_motion": "reduce",
            "color_scheme": "light",
            **options,
        }
        context = browser.new_context(**asked)
        context.set_default_timeout(PAGE_SECONDS * 1000)
        address = path if "://" in path else service.url + path
        watch = PageWatch(context, urlsplit(address).netloc)
        opened.append((context, watch))
        page = context.new_page()
        page.goto(address)
        return Tab(page, watch)

    yield new_tab
    complaints: list[str] = []
    for context, watch in opened:
        if request.node.stash.get(_FAILED, False):
            _last_pictures(context, request.node.name)
        context.close()
        complaints += watch.complaints()
    assert not complaints, "the page did what it must not:\n" + "\n".join(complaints)


def _last_pictures(context: BrowserContext, test: str) -> None:
    for number, page in enumerate(context.pages):
        page.screenshot(path=_SCREENSHOTS / f"failed-{test}-{number}.png")


@pytest.fixture
def chat(new_tab: NewTab) -> Tab:
    """The chat page with an empty new thread, and what watches it."""
    tab = new_tab()
    expect(tab.page.get_by_role("textbox", name="Message")).to_be_editable()
    return tab


@pytest.fixture
def chat_page(chat: Tab) -> Page:
    """The chat page with an empty new thread."""
    return chat.page


@pytest.fixture
def watch(chat: Tab) -> PageWatch:
    """What watches ``chat_page``, to allow the console errors that a test provokes."""
    return chat.watch


@pytest.fixture
def second_tab(chat_page: Page) -> Callable[[], Page]:
    """Open the thread of ``chat_page`` in another tab of the same browser."""

    def second_tab() -> Page:
        page = chat_page.context.new_page()
        page.goto(chat_page.url)
        return page

    return second_tab


@pytest.fixture
def offline(chat: Tab) -> Callable[[], AbstractContextManager[None]]:
    """``with offline():`` cuts the browser of ``chat_page`` off from the network."""

    @contextmanager
    def offline() -> Iterator[None]:
        chat.watch.allow("net::ERR_INTERNET_DISCONNECTED")
        chat.page.context.set_offline(True)
        try:
            yield
        finally:
            chat.page.context.set_offline(False)

    return offline


def _put_on(page: Page, look: Look) -> None:
    # A tab in the background is drawn once a second.
    page.bring_to_front()
    page.emulate_media(color_scheme="dark" if look == "dark" else "light", reduced_motion="reduce")
    page.set_viewport_size(_PHONE if look == "phone" else _WIDE)
    wait_for_rest(page)


@pytest.fixture
def screenshot() -> Callable[..., None]:
    """``screenshot(page, "name")``: pictures in light, dark and on a phone, in the git-ignored ``screenshots/``.

    For people, and no check: they are taken with ``BROWSER_SCREENSHOTS=1`` only.
    """

    def screenshot(page: Page, name: str, looks: tuple[Look, ...] = ("light", "dark", "phone")) -> None:
        if not os.environ.get("BROWSER_SCREENSHOTS"):
            return
        for look in looks:
            _put_on(page, look)
            page.screenshot(path=_SCREENSHOTS / f"{name}-{look}.png", animations="disabled")
        _put_on(page, "light")

    return screenshot


@pytest.fixture(scope="session")
def axe_engine() -> Path:
    """``axe.min.js``, installed from the lock file of this folder."""
    try:
        NodeProject(_HERE).install()
    except NodeUnavailableError as exc:
        _unavailable(str(exc))
    return _HERE / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def axe(axe_engine: Path) -> Callable[..., None]:
    """``axe(page)``: nothing of the page, as it is now, keeps anybody out, and its colours do not in dark either."""

    def axe(page: Page, within: str | None = None) -> None:
        looks: tuple[tuple[Look, tuple[str, ...] | None], ...] = (("dark", COLOUR_RULES), ("light", None))
        for look, rules in looks:
            _put_on(page, look)
            found = violations(page, axe_engine, within, rules)
            assert not found, f"axe, {look}:\n" + "\n".join(found)

    return axe
