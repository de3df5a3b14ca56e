"""An empty thread offers first messages; a click sends one."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect


def test_a_newcomer_sends_a_suggestion_by_a_click(
    chat_page: Page, axe: Callable[..., None], screenshot: Callable[..., None]
) -> None:
    offers = chat_page.get_by_role("list", name="Suggestions").get_by_role("button")
    expect(offers).to_have_count(4)
    axe(chat_page)
    screenshot(chat_page, "suggestions")

    offers.filter(has_text="6*7").click()

    expect(chat_page.get_by_role("list", name="Messages").get_by_text("42.")).to_be_visible()
    expect(offers).to_have_count(0)
