"""The page on a line that breaks again and again: what it shows is what the history says."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Page, expect
from tests.support.browser_tab import NewTab, Site
from tests.support.cutting_proxy import CuttingProxy
from tests.support.limits import HUNG_SECONDS

_CUTS = 50
# No Markdown in the answers: what is shown is the text itself.
_ASKED = (
    "think about 6 and calculate 6*7",
    "slowly",
    "think about it",
    "calculate 7+8 and then calculate 8+9",
)
_STARTED = re.compile(r"/agent/runs$")
_SHOWN = ".message.user .user-bubble, .message.assistant .markdown"


def _send(page: Page, words: str) -> tuple[str, str]:
    """Send a message; returns the thread and the run that answers it, as soon as the service has accepted it."""
    box = page.get_by_role("textbox", name="Message")
    box.fill(words)
    with page.expect_response(_STARTED) as started:
        box.press("Enter")
    accepted = started.value.json()
    return accepted["threadId"], accepted["runId"]


def _until_ended(api: httpx.Client, thread: str, run: str) -> None:
    """Wait until the service has answered, whatever the page knows of it: the stream of a run ends with it."""
    api.get("/events", params={"threadId": thread, "runId": run}).raise_for_status()


def _ask(page: Page, api: httpx.Client, words: str) -> str:
    thread, run = _send(page, words)
    _until_ended(api, thread, run)
    return thread


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _told(api: httpx.Client, thread: str) -> list[str]:
    history = api.get("/history", params={"threadId": thread, "limit": 200}).raise_for_status().json()
    return [
        _plain(message["content"])
        for message in history["messages"]
        if message["role"] in ("user", "assistant") and message["content"]
    ]


def _expect_all(page: Page, told: list[str]) -> None:
    """The page comes to show what was told, and no more."""
    shown = page.locator(_SHOWN)
    expect(shown).to_have_count(len(told))
    expect(shown.last).to_contain_text(told[-1])
    assert [_plain(text).removeprefix("You: ") for text in shown.all_inner_texts()] == told
    # A message that was cut off before its first word leaves no gap.
    assert all(text.strip() for text in page.locator("li.message").all_inner_texts())


def test_fifty_cuts_change_nothing_of_what_is_shown(
    new_tab: NewTab, service: Site, api: httpx.Client
) -> None:
    proxy = CuttingProxy(urlsplit(service.url).netloc, seed=12)
    with proxy.running() as address:
        tab = new_tab(address + "/")
        # Chromium's own words for a reset. What the official client refuses is another error, and never allowed.
        tab.watch.allow("net::ERR_")
        proxy.cuts_left = _CUTS
        thread = _ask(tab.page, api, "hello")
        for words in _ASKED:
            _ask(tab.page, api, words)
        while proxy.cuts_left:
            _ask(tab.page, api, "hello")

        told = _told(api, thread)
        _expect_all(tab.page, told)
        assert len(proxy.cuts) == _CUTS
        assert set(proxy.cuts) == {"close", "reset"}
        tab.page.reload()
        _expect_all(tab.page, told)


def test_two_tabs_below_a_path_go_on_after_the_service_was_away(
    new_tab: NewTab, service: Site, api: httpx.Client
) -> None:
    proxy = CuttingProxy(urlsplit(service.url).netloc, seed=1, prefix="/some/where")
    with proxy.running() as address:
        tab = new_tab(address + "/")
        tab.watch.allow("net::ERR_|status of 502")
        first = tab.page
        thread = _ask(first, api, "hello")
        second = first.context.new_page()
        second.goto(first.url)
        _expect_all(second, _told(api, thread))

        _, run = _send(first, "slowly")
        for page in (first, second):
            expect(page.locator(_SHOWN).last).to_contain_text("Slowly")
        proxy.is_down = True
        proxy.cut_all()
        proxy.refused.wait(HUNG_SECONDS)
        proxy.is_down = False

        _until_ended(api, thread, run)
        for page in (first, second):
            _expect_all(page, _told(api, thread))
