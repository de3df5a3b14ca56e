"""The usage view: its numbers are those of ``GET /usage``."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import Locator, Page, expect
from tests.support.page_watch import PageWatch


def opened(page: Page) -> Locator:
    page.get_by_role("button", name="Usage").click()
    return page.get_by_role("dialog", name="Usage")


def at_rest(api: httpx.Client) -> None:
    """Wait until no run goes on, of whatever test: then the numbers stay."""
    while any(thread["activeRun"] for thread in api.get("/threads").json()["threads"]):
        pass


def test_usage_is_drawn_by_day_and_told_by_model_and_conversation(
    chat_page: Page, api: httpx.Client, axe: Callable[..., None], screenshot: Callable[..., None]
) -> None:
    box = chat_page.get_by_role("textbox", name="Message")
    box.fill("calculate 6*7")
    box.press("Enter")
    expect(chat_page.locator(".message.assistant .meter")).to_have_count(2)

    at_rest(api)
    view = opened(chat_page)
    by_thread = view.get_by_role("region", name="Usage by conversation")
    expect(by_thread.get_by_role("link", name="calculate 6*7").first).to_be_visible()
    usage = api.get("/usage", params={"groupBy": "model"}).json()
    totals = usage["totals"]
    tiles = view.locator(".usage-totals")
    expect(tiles).to_contain_text(f"Input tokens{totals['inputTokens']:,}")
    expect(tiles).to_contain_text(f"Model calls{totals['calls']:,}")
    row = view.get_by_role("region", name="Usage by model").get_by_role("row").nth(1)
    expect(row).to_contain_text(usage["rows"][0]["model"])
    expect(row).to_contain_text(f"{usage['rows'][0]['outputTokens']:,}")

    # A bar for each day; by key the newest one.
    chart = view.get_by_role("listbox", name="Usage by day")
    expect(chart.get_by_role("option")).to_have_count(30)
    chart.focus()
    chart.press("End")
    expect(chart.get_by_role("option").last).to_have_attribute("aria-selected", "true")
    expect(view.locator(".usage-said")).to_contain_text("input")
    view.get_by_label("Calls").check(force=True)
    expect(chart.get_by_role("option").last).to_have_attribute(
        "aria-label", re.compile(f"{totals['calls']} calls$")
    )
    axe(chat_page, "dialog")
    screenshot(chat_page, "usage")

    view.get_by_label("7 days").check(force=True)
    expect(chart.get_by_role("option")).to_have_count(7)
    view.get_by_label("1 year").check(force=True)
    expect(chart.get_by_role("option")).to_have_count(53)
    by_thread.get_by_role("link", name="calculate 6*7").first.click()
    expect(view).to_have_count(0)


def test_a_period_without_usage_and_a_period_that_cannot_be_meant_say_so(
    chat_page: Page, watch: PageWatch, axe: Callable[..., None], screenshot: Callable[..., None]
) -> None:
    view = opened(chat_page)
    view.get_by_label("From").fill("2020-01-01")
    expect(view.get_by_role("alert")).to_contain_text("At most 366 days")
    view.get_by_label("To", exact=True).fill("2020-01-31")
    expect(view.get_by_text("Nothing was used in this period.")).to_be_visible()
    axe(chat_page, "dialog")
    screenshot(chat_page, "usage-empty")

    watch.allow("503|net::ERR")
    chat_page.route("**/usage?*", lambda route: route.abort())
    view.get_by_label("30 days").check(force=True)
    expect(view.get_by_role("alert")).to_contain_text("cannot be reached")
    chat_page.unroute("**/usage?*")
    view.get_by_role("button", name="Try again").click()
    expect(view.get_by_role("alert")).to_have_count(0)
    chat_page.keyboard.press("Escape")
    expect(view).to_have_count(0)
