"""Tools that the page carries out itself: its theme, and charts in the conversation."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from playwright.sync_api import Page, Route, expect
from tests.support.browser_tab import NewTab, Tab
from tests.support.page_watch import PageWatch

ASKED = "dark theme please and also draw a line chart of sales: Jan 3, Feb 5, Mar -8"


def say(page: Page, text: str) -> None:
    field = page.get_by_role("textbox", name="Message")
    field.fill(text)
    field.press("Enter")


def results(api: httpx.Client, page: Page) -> list[str]:
    thread = {"threadId": page.url.rpartition("/t/")[2]}
    messages = api.get("/history", params=thread).json()["messages"]
    return [message["content"] for message in messages if message["role"] == "tool"]


def test_the_page_changes_its_theme_and_draws(
    chat_page: Page,
    api: httpx.Client,
    second_tab: Callable[[], Page],
    screenshot: Callable[..., None],
    axe: Callable[..., None],
) -> None:
    page = chat_page
    say(page, ASKED)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    chart = page.get_by_role("figure", name="Sales")
    expect(chart.get_by_role("img")).to_have_attribute(
        "aria-label", "Line chart, Sales. Value: 3 values from -8 to 5."
    )
    expect(page.locator(".message").get_by_text("Here it is.")).to_be_visible()
    chart.get_by_text("Show as a table").click()
    expect(chart.get_by_role("row")).to_have_count(4)
    assert len(results(api, page)) == 2
    other = second_tab()
    expect(other.get_by_role("figure", name="Sales")).to_be_visible()
    say(other, "light theme please")
    expect(other.locator("html")).to_have_attribute("data-theme", "light")
    expect(page.locator(".call")).to_have_count(3)
    # Only the window that began the run answers; the other one follows.
    expect(page.locator(".call[data-status=done]")).to_have_count(3)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert len(results(api, page)) == 3
    screenshot(page, "chart")
    axe(page)


def test_a_reloaded_page_offers_to_carry_out_and_does_it_once(
    chat_page: Page, watch: PageWatch, api: httpx.Client, screenshot: Callable[..., None]
) -> None:
    page = chat_page
    watch.allow("net::ERR_FAILED")
    # The window is gone before it can answer.
    page.route(
        "**/runs",
        lambda route: (
            route.abort() if '"role":"tool"' in (route.request.post_data or "") else route.continue_()
        ),
    )
    say(page, "draw a chart of 3, 5, 8")
    expect(page.locator(".call[data-status=pending]")).to_have_count(1)
    page.reload()
    page.unroute_all()
    offer = page.get_by_role("button", name="Carry out here")
    expect(offer).to_be_visible()
    assert results(api, page) == []
    screenshot(page, "client-tool-offer")
    offer.click()
    expect(page.locator(".message").get_by_text("Here it is.")).to_be_visible()
    assert results(api, page) == ["The user sees a bar chart “Your numbers” of 3 values."]


def test_devices_that_are_asked_at_the_same_time_leave_one_result(
    chat: Tab, new_tab: NewTab, api: httpx.Client
) -> None:
    page = chat.page
    chat.watch.allow("net::ERR_FAILED")
    page.route(
        "**/runs",
        lambda route: (
            route.abort() if '"role":"tool"' in (route.request.post_data or "") else route.continue_()
        ),
    )
    say(page, "dark theme please")
    expect(page.locator(".call[data-status=pending]")).to_have_count(1)
    # Devices that have not begun the run. One is slow with its result, and one hears of nothing after it was opened.
    fast, slow, deaf = new_tab(page.url), new_tab(page.url), new_tab("/docs")
    slow.watch.allow("status of 422")
    deaf.watch.allow("net::ERR_FAILED")
    deaf.page.route("**/events?*cursor=*", lambda route: route.abort())
    deaf.page.goto(page.url)
    page.close()
    offers = [device.page.get_by_role("button", name="Carry out here") for device in (fast, slow, deaf)]
    for offer in offers:
        expect(offer).to_be_visible()
    held: list[Route] = []
    slow.page.route("**/runs", lambda route: held.append(route))
    with slow.page.expect_request("**/runs"):
        offers[1].click()
    offers[0].click()
    expect(
        fast.page.locator(".message").get_by_text("Done. The page now has the dark theme.")
    ).to_be_visible()
    held[0].continue_()
    with deaf.page.expect_response("**/history?*"):
        offers[2].click()
    expect(offers[2]).to_have_count(0)

    # Two have done the work, and the first result counts. The third one has asked first.
    for device in (fast, slow):
        expect(device.page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(deaf.page.locator("html")).not_to_have_attribute("data-theme", "dark")
    expect(slow.page.locator(".call[data-status=done]")).to_have_count(1)
    expect(offers[1]).to_have_count(0)
    assert results(api, fast.page) == ["The page now has the dark theme."]


def test_a_call_of_another_application_says_so(chat_page: Page) -> None:
    page = chat_page
    page.route(
        "**/runs",
        lambda route: route.continue_(
            post_data=(route.request.post_data or "").replace('"name":"set_theme"', '"name":"open_door"')
        ),
    )
    say(page, "call the tool open_door")
    expect(page.get_by_text("This page does not have this tool.")).to_be_visible()
