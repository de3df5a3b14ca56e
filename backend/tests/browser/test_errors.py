"""What goes wrong is said in words, nothing that was written is lost, and there is a way on."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

from playwright.sync_api import Locator, Page, Route, expect
from tests.support.page_watch import PageWatch


def _field(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message", exact=True)


def _say(page: Page, text: str) -> None:
    _field(page).fill(text)
    _field(page).press("Enter")


def _answers(page: Page) -> Locator:
    return page.locator(".message.assistant")


def _unsent(page: Page) -> Locator:
    return page.get_by_role("list", name="Messages that were not sent").get_by_role("listitem")


def test_a_failed_answer_says_why_and_can_be_tried_again(
    chat_page: Page, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    page = chat_page
    _say(page, "fail")
    note = page.locator(".problem-note")
    expect(note).to_contain_text("The model cannot be reached.")
    expect(note.get_by_text("model-unavailable")).to_be_hidden()
    note.get_by_text("Details").click()
    expect(note.get_by_text("model-unavailable")).to_be_visible()
    axe(page)
    screenshot(page, "error-run")
    page.reload()
    expect(note).to_contain_text("The model cannot be reached.")

    with page.expect_response("**/runs") as again:
        note.get_by_role("button", name="Try again").click()
    assert again.value.status == 202
    expect(note).to_contain_text("The model cannot be reached.")
    expect(page.locator(".message.user")).to_have_count(1)
    page.locator(".message.user").hover()
    page.get_by_role("button", name="Edit the message").click()
    page.get_by_role("textbox", name="Edited message").fill("do not")
    page.keyboard.press("Enter")
    expect(_answers(page).last).to_contain_text("You said: “do not”")
    expect(note).to_have_count(0)

    # A failure that the conversation went on after is still seen; after a reload only that there is no answer.
    _say(page, "fail")
    expect(note).to_contain_text("The model cannot be reached.")
    _say(page, "hello")
    expect(_answers(page).last).to_contain_text("Hello!")
    trace = page.locator(".run-trace")
    expect(trace).to_have_text("This answer failed. The model cannot be reached.")
    axe(page)
    page.reload()
    expect(trace).to_have_text("There was no answer.")


def test_a_refused_message_keeps_its_text_and_is_sent_when_the_time_has_come(
    chat_page: Page, watch: PageWatch, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    page = chat_page
    watch.allow("status of 4(29|22|09)")

    def refuse(route: Route) -> None:
        problem = '{"code":"rate-limited","detail":"Too many runs.","retryable":true,"requestId":"r-1"}'
        # For longer than a busy machine needs to look; a reload does not remember it.
        headers = {"Retry-After": "600"}
        route.fulfill(status=429, content_type="application/problem+json", body=problem, headers=headers)

    page.route("**/runs", refuse)
    _say(page, "patience")
    expect(_unsent(page)).to_contain_text("You have sent a lot in a short time.")
    expect(_unsent(page)).to_contain_text("patience")
    expect(page.get_by_role("button", name=re.compile(r"Try again in \d+ s"))).to_be_disabled()
    axe(page)
    screenshot(page, "error-refused")
    page.unroute("**/runs")
    # Over a reload, too.
    page.reload()
    expect(_unsent(page)).to_contain_text("patience")
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(_answers(page).last).to_contain_text("You said: “patience”")
    expect(_unsent(page)).to_have_count(0)

    # The service's own refusal; another try would not help, so none is offered.
    _field(page).evaluate(
        "(field) => { field.value = 'x'.repeat(140000); field.dispatchEvent(new Event('input', { bubbles: true })) }"
    )
    _field(page).press("Enter")
    expect(_unsent(page)).to_contain_text("A part of the message is too long.")
    expect(page.get_by_role("button", name="Try again", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(_field(page)).to_have_value("x" * 140000)
    expect(_unsent(page)).to_have_count(0)
    _field(page).fill("")

    # A question is open: it is declined together with the next message, if the user wants that.
    _say(page, "fetch https://example.com/")
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    _say(page, "never mind")
    expect(_unsent(page)).to_contain_text("The agent waits for an answer of yours.")
    screenshot(page, "error-question", looks=("light", "phone"))
    page.get_by_role("button", name="Decline the question and send").click()
    expect(_answers(page).last).to_contain_text("You said: “never mind”")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def test_a_message_written_without_a_network_is_sent_when_it_is_back(
    chat_page: Page,
    offline: Callable[[], AbstractContextManager[None]],
    screenshot: Callable[..., None],
    axe: Callable[..., None],
) -> None:
    page = chat_page
    _say(page, "hello")
    expect(_answers(page).last).to_contain_text("Hello!")
    with offline():
        expect(page.get_by_text("You are offline.")).to_be_visible()
        _say(page, "are you there")
        expect(page.locator(".message.user").last).to_contain_text("are you there")
        expect(page.get_by_text("Sent when the network is back")).to_be_visible()
        axe(page)
        screenshot(page, "error-offline")
    expect(_answers(page).last).to_contain_text("You said: “are you there”")
    expect(page.get_by_text("You are offline.")).to_be_hidden()
    expect(page.get_by_text("Sending…")).to_have_count(0)
