"""The memory panel: what agents remember of the user, to look at and to delete."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx
from playwright.sync_api import Page, expect
from tests.support.page_watch import PageWatch


def _remember(page: Page, text: str) -> None:
    box = page.get_by_role("textbox", name="Message")
    box.fill(f"remember that {text}")
    box.press("Enter")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".message.assistant").last).to_contain_text("It answered: Remembered")


def _texts(api: httpx.Client) -> list[str]:
    return [each["text"] for each in api.get("/memory").json()["memories"]]


def test_memories_are_shown_and_deleted_one_by_one_and_all_at_once(
    chat_page: Page,
    watch: PageWatch,
    api: httpx.Client,
    offline: Callable[[], AbstractContextManager[None]],
    axe: Callable[..., None],
    screenshot: Callable[..., None],
) -> None:
    page = chat_page
    api.delete("/memory")
    button = page.get_by_role("button", name="Memory")
    button.click()
    panel = page.get_by_role("dialog", name="Memory")
    expect(panel.get_by_text("Nothing is remembered.")).to_be_visible()
    screenshot(page, "memory-empty", ("light",))
    page.keyboard.press("Escape")
    expect(button).to_be_focused()

    for text in ("I like tea", "I live in Lisbon", "my cat is called Mira"):
        _remember(page, text)
    button.click()
    entries = panel.get_by_role("listitem")
    expect(entries).to_have_count(3)
    # Newest first, by key alone: Esc takes the question back and leaves the panel open.
    expect(entries.first).to_contain_text(_texts(api)[0])
    trash = entries.first.get_by_role("button", name="Delete:")
    trash.press("Enter")
    expect(entries.first.get_by_role("button", name="Cancel")).to_be_focused()
    axe(page, "dialog")
    screenshot(page, "memory")
    page.keyboard.press("Escape")
    expect(trash).to_be_focused()

    with offline():
        expect(panel.get_by_text("You are offline.")).to_be_visible()
        expect(trash).to_be_disabled()
    trash.press("Enter")
    entries.first.get_by_role("button", name="Delete", exact=True).press("Enter")
    expect(entries).to_have_count(2)
    assert len(_texts(api)) == 2
    # The focus is where the next one can be deleted.
    expect(trash).to_be_focused()

    watch.allow("status of 503|ERR_")
    page.route("**/memory", lambda route: route.abort())
    panel.get_by_role("button", name="Delete all").click()
    panel.get_by_role("button", name="Delete all").click()
    expect(panel.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(entries).to_have_count(2)
    page.unroute("**/memory")
    panel.get_by_role("button", name="Delete all").click()
    expect(panel.get_by_text("Nothing is remembered.")).to_be_visible()
    assert _texts(api) == []
