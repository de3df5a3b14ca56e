"""Cards of the chat page: what tools do, and the questions that the user answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, Route, expect
from tests.support.page_watch import PageWatch

BOTH = "fetch https://example.com/ and also remember that I like tea"


def say(page: Page, text: str) -> None:
    field = page.get_by_role("textbox", name="Message")
    field.fill(text)
    field.press("Enter")


def thread_of(page: Page) -> str:
    return page.url.rpartition("/t/")[2]


def call(page: Page, name: str) -> Locator:
    return page.locator(".call", has=page.locator(".call-name", has_text=name)).last


def test_a_call_shows_its_arguments_and_its_result(
    chat_page: Page, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    page = chat_page
    say(page, "calculate 6*7 and also what time is it and then calculate 1/0")
    expect(page.locator(".call[data-status=done]")).to_have_count(2)
    expect(page.locator(".call[data-status=failed]")).to_have_count(1)
    first = page.locator(".call").first
    expect(first.locator(".call-summary")).to_have_text("6*7")
    first.locator("summary").press("Enter")
    expect(first.locator(".call-text")).to_have_text(['{\n  "expression": "6*7"\n}', "42"])
    expect(page.get_by_role("group", name="Progress of the answer")).to_have_count(0)
    screenshot(page, "tool-calls")
    axe(page)
    page.reload()
    expect(page.locator(".call[data-status=done]")).to_have_count(2)
    expect(page.locator(".call[data-status=failed] .call-status")).to_have_text("Failed")


def test_a_call_is_edited_and_approved(
    chat_page: Page, api: httpx.Client, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    page = chat_page
    say(page, "remember that I like tea")
    card = page.get_by_role("article", name="Approval needed")
    expect(card.get_by_text("Allow the tool remember?")).to_be_visible()
    expect(card.get_by_text("expires in 1 day")).to_be_visible()
    expect(call(page, "remember").locator(".call-status")).to_have_text("Waits for you")
    axe(page)
    screenshot(page, "approval")
    card.get_by_role("button", name="Edit").click()
    field = card.get_by_label("Text")
    field.fill("I like cake")
    screenshot(page, "approval-edit")
    axe(page)
    field.press("Escape")
    expect(card.locator(".call-text")).to_contain_text("I like tea")
    card.get_by_role("button", name="Edit").click()
    card.get_by_label("Text").fill("I like coffee")
    card.get_by_role("button", name="Approve with changes").click()
    expect(call(page, "remember").locator(".call-status")).to_have_text("Done")
    expect(card).to_have_count(0)
    messages = api.get("/history", params={"threadId": thread_of(page)}).json()["messages"]
    assert "I like coffee" in json.dumps(messages)


def test_several_questions_are_answered_together_by_keys(
    chat_page: Page, screenshot: Callable[..., None]
) -> None:
    page = chat_page
    sent: list[dict[str, Any]] = []
    page.on(
        "request",
        lambda request: (
            sent.append(json.loads(request.post_data or "")) if request.url.endswith("/resume") else None
        ),
    )
    say(page, BOTH)
    cards = page.get_by_role("article", name="Approval needed")
    expect(cards).to_have_count(2)
    expect(page.get_by_role("button", name="Send answers (2 left)")).to_be_disabled()
    cards.nth(0).get_by_role("button", name="Approve").focus()
    page.keyboard.press("d")
    expect(cards.nth(0).get_by_text("Will be declined")).to_be_visible()
    cards.nth(1).get_by_role("button", name="Approve").click()
    screenshot(page, "approvals-decided")
    cards.nth(0).get_by_role("button", name="Change").click()
    cards.nth(0).get_by_role("button", name="Decline").click()
    page.get_by_role("button", name="Send 2 answers").click()
    expect(call(page, "fetch_url").locator(".call-status")).to_have_text("Declined")
    expect(call(page, "remember").locator(".call-status")).to_have_text("Done")
    assert [[entry["payload"] for entry in body["resume"]] for body in sent] == [
        [{"approved": False}, {"approved": True}]
    ]


def test_an_answer_of_another_window_is_told_in_the_card(
    chat_page: Page, watch: PageWatch, api: httpx.Client
) -> None:
    page = chat_page
    watch.allow("409")

    def faster(route: Route) -> None:
        body: dict[str, Any] = json.loads(route.request.post_data or "")
        other = {"threadId": body["threadId"], "runId": "other-window", "resume": body["resume"]}
        assert api.post("/resume", json=other).status_code == 202
        route.continue_()

    page.route("**/resume", faster)
    say(page, "remember that I like tea")
    card = page.get_by_role("article", name="Approval needed")
    card.get_by_role("button", name="Approve").click()
    expect(call(page, "remember").locator(".call-status")).to_have_text("Done")
    expect(card).to_have_count(0)


def test_a_refused_answer_stays_and_can_be_sent_again(chat_page: Page, watch: PageWatch) -> None:
    page = chat_page
    watch.allow("422")
    problem: dict[str, Any] = {
        "code": "invalid-request",
        "title": "Invalid request",
        "detail": "The answer does not fit the interrupt's responseSchema.",
        "errors": [{"pointer": "/resume/0/payload/input/text", "message": "is too long"}],
    }
    page.route(
        "**/resume",
        lambda route: route.fulfill(
            status=422, content_type="application/problem+json", body=json.dumps(problem)
        ),
        times=1,
    )
    say(page, "remember that I like tea")
    card = page.get_by_role("article", name="Approval needed")
    card.get_by_role("button", name="Edit").click()
    card.get_by_label("Text").fill("I like coffee")
    card.get_by_role("button", name="Approve with changes").click()
    expect(card.locator(".entry-complaint")).to_have_text("is too long")
    expect(card.get_by_label("Text")).to_have_value("I like coffee")
    card.get_by_role("button", name="Approve with changes").click()
    expect(call(page, "remember").locator(".call-status")).to_have_text("Done")


def test_an_expired_question_is_laid_aside(chat_page: Page, screenshot: Callable[..., None]) -> None:
    page = chat_page
    page.clock.install()
    say(page, "remember that I like tea")
    card = page.get_by_role("article", name="Approval needed")
    expect(card.get_by_text("expires in 1 day")).to_be_visible()
    page.clock.fast_forward("23:58:00")
    expect(card.locator(".question-expiry.urgent")).to_be_visible()
    page.clock.fast_forward("02:00")
    expect(card.get_by_text("expired", exact=True)).to_be_visible()
    screenshot(page, "approval-expired")
    card.get_by_role("button", name="Go on without it").click()
    expect(call(page, "remember").locator(".call-status")).to_have_text("Declined")
