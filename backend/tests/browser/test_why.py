"""A run that shows nothing for long: the page offers to ask why, and tells what the service says."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, Request, expect
from tests.support.limits import HUNG_SECONDS


def _until_the_model_is_asked(page: Page, api: httpx.Client) -> None:
    """Wait until the run waits for the model: before, the service says another cause."""
    thread = page.url.rpartition("/")[2]
    deadline = time.monotonic() + HUNG_SECONDS
    while True:
        (run,) = api.get(f"/threads/{thread}/runs").raise_for_status().json()["runs"]
        why = api.get(f"/runs/{run['runId']}/why", params={"threadId": thread})
        if why.raise_for_status().json()["cause"] == "waiting-for-model":
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_why_an_answer_takes_so_long_is_asked_when_the_user_wants_to_know(
    chat_page: Page, api: httpx.Client, axe: Callable[..., None], screenshot: Callable[..., None]
) -> None:
    page = chat_page
    page.clock.install()
    box = page.get_by_role("textbox", name="Message")
    box.fill("fail hang")
    box.press("Enter")
    expect(page.get_by_text("Working on it")).to_be_visible()
    asked: list[Request] = []
    page.on(
        "request",
        lambda request: asked.append(request) if request.url.partition("?")[0].endswith("/why") else None,
    )
    ask = page.get_by_role("button", name="Why does this take so long?")
    expect(ask).to_have_count(0)
    page.clock.fast_forward(15_000)
    screenshot(page, "why-ask", ("light",))
    _until_the_model_is_asked(page, api)
    ask.click()
    told = page.locator(".run-why")
    expect(told.get_by_role("button", name="Ask again")).to_be_focused()
    expect(told).to_contain_text("has not begun to answer for")
    (question,) = asked
    why = api.get(question.url).json()
    assert why["cause"] == "waiting-for-model"
    expect(told).to_contain_text(why["advice"])
    expect(told).to_contain_text("acts by itself at")
    axe(page, ".run-progress")
    screenshot(page, "why")

    # It is asked for again by the user alone.
    page.clock.fast_forward(60_000)
    assert len(asked) == 1
    with page.expect_response("**/why?**"):
        told.get_by_role("button", name="Ask again").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("The answer was stopped.")).to_be_visible()
    expect(told).to_have_count(0)
