"""Cards of the chat page: what tools do, and the questions that the user answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, Route, expect
from tests.support.browser_tab import NewTab
from tests.support.page_watch import PageWatch

A_DAY = re.compile("^expires in (1 day|24 h|23 h)")
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
    expect(card.locator(".question-expiry")).to_have_text(A_DAY)
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
    # The answer comes after the result of the call, and names what was remembered.
    expect(page.locator(".message.assistant").last).to_contain_text("I like coffee")
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
    cards.nth(1).get_by_role("button", name="Decline").focus()
    page.keyboard.press("a")
    expect(cards.nth(1).get_by_text("Will be approved")).to_be_visible()
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
    expect(card.locator(".question-expiry")).to_have_text(A_DAY)
    page.clock.fast_forward("23:58:00")
    expect(card.locator(".question-expiry.urgent")).to_be_visible()
    page.clock.fast_forward("02:00")
    expect(card.get_by_text("expired", exact=True)).to_be_visible()
    screenshot(page, "approval-expired")
    card.get_by_role("button", name="Go on without it").click()
    expect(call(page, "remember").locator(".call-status")).to_have_text("Declined")


FORM = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1},
        "days": {"type": "integer", "minimum": 1},
        "when": {"enum": ["today", "tomorrow"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "extra": {"additionalProperties": True, "type": "object"},
    },
    "required": ["city", "days"],
}
REASONED = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["approved"],
}
QUESTIONS: list[dict[str, Any]] = [
    {
        "id": "q1",
        "reason": "connection_required",
        "message": "Connect mail.",
        "metadata": {"server": "mail", "url": "http://127.0.0.1:1/login"},
    },
    {
        "id": "q2",
        "reason": "connection_required",
        "message": "Connect github.",
        "metadata": {"server": "github"},
    },
    {"id": "q3", "reason": "trip", "message": "Where to?", "responseSchema": FORM},
    {"id": "q4", "reason": "something_new", "message": "May I?", "responseSchema": REASONED},
    {"id": "q5", "reason": "budget_exhausted", "message": "Go on?", "responseSchema": REASONED},
]
SUBAGENT_CALL = {"id": "c1", "type": "function", "function": {"name": "researcher", "arguments": "{}"}}
INNER_CALL = {
    "id": "c2",
    "type": "function",
    "function": {"name": "calculate", "arguments": '{"expression":"6*7"}'},
}
MESSAGES: list[dict[str, Any]] = [
    {"id": "m1", "role": "user", "content": "Plan a trip."},
    {"id": "m2", "role": "assistant", "toolCalls": [SUBAGENT_CALL]},
    {
        "id": "m3",
        "role": "assistant",
        "content": "Looking it up.",
        "subagentRunId": "s1",
        "toolCalls": [INNER_CALL],
    },
    {"id": "m4", "role": "tool", "toolCallId": "c2", "content": "42", "subagentRunId": "s1"},
    {"id": "m5", "role": "tool", "toolCallId": "c1", "content": "Found."},
]


def asking(thread: str) -> str:
    """The stream that a page gets when it opens a thread with these messages and questions."""
    outcome = {"type": "interrupt", "interrupts": QUESTIONS}
    events: list[dict[str, Any]] = [
        {"type": "RUN_STARTED", "threadId": thread, "runId": "r1", "protocolVersion": "1.0"},
        {"type": "MESSAGES_SNAPSHOT", "messages": MESSAGES},
        {"type": "RUN_FINISHED", "threadId": thread, "runId": "r1", "outcome": outcome},
    ]
    ids = ("1-9.2", "1-9.1", "1-9")
    return "".join(
        f"id: {cursor}\ndata: {json.dumps(event)}\n\n" for cursor, event in zip(ids, events, strict=True)
    )


def test_every_kind_of_question_is_answered(
    new_tab: NewTab, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    tab = new_tab("/")
    page = tab.page
    # The service does not know the thread that is told here.
    tab.watch.allow("404")
    sent: dict[str, Any] = {}

    def opened(route: Route) -> None:
        # What follows the opening stays silent.
        if "connect=true" in route.request.url:
            route.fulfill(content_type="text/event-stream", body=asking("t-asking"))

    def kept(name: str, status: int, body: dict[str, Any]) -> Callable[[Route], None]:
        def answer(route: Route) -> None:
            sent[name] = json.loads(route.request.post_data or "null")
            route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

        return answer

    page.route("**/events?*", opened)
    page.route(
        "**/connections",
        kept("list", 200, {"connections": [{"server": "mail", "auth": "oauth", "state": "connected"}]}),
    )
    page.route(
        "**/connections/github",
        kept("token", 200, {"server": "github", "auth": "user-token", "state": "connected"}),
    )
    page.route("**/resume", kept("resume", 202, {"runId": "r2", "threadId": "t-asking", "status": "queued"}))
    page.goto(page.url.partition("#")[0] + "#/t/t-asking")
    page.reload()
    expect(page.get_by_role("heading", name="5 questions are open")).to_be_visible()
    # A subagent's words stand inside of the call that began it, not in the conversation.
    subagent = call(page, "researcher").locator(".subagent").first
    subagent.locator("summary").first.click()
    expect(subagent.get_by_text("Looking it up.")).to_be_visible()
    expect(subagent.locator(".call-summary")).to_have_text("6*7")
    expect(page.get_by_text("Looking it up.")).to_have_count(1)
    cards = page.locator(".question")
    # A login at the server's page: the page sees it when the user is back.
    link = cards.nth(0).get_by_role("link", name="Log in at mail")
    assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(cards.nth(0).get_by_text("You are connected to mail.")).to_be_visible()
    cards.nth(0).get_by_role("button", name="Continue").click()
    # A token.
    cards.nth(1).get_by_role("button", name="Connect", exact=True).click()
    expect(cards.nth(1).get_by_role("alert")).to_have_text("Paste the token first.")
    cards.nth(1).get_by_label("Your token for github").fill("secret-token")
    screenshot(page, "questions")
    axe(page)
    cards.nth(1).get_by_role("button", name="Connect", exact=True).click()
    expect(cards.nth(1).get_by_text("Goes on with the login")).to_be_visible()
    assert sent["token"] == {"token": "secret-token"}
    # A form of every kind of field, with complaints beside them.
    form = cards.nth(2)
    form.get_by_label("Days").fill("0")
    form.get_by_role("button", name="Send answer").click()
    expect(form.locator(".entry-complaint")).to_have_text(["This is needed.", "At least 1."])
    form.get_by_label("City").fill("Paris")
    form.get_by_label("Days").fill("3")
    form.get_by_role("button", name="When", exact=True).click()
    form.get_by_role("combobox", name="When").select_option("tomorrow")
    form.get_by_role("button", name="Tags", exact=True).click()
    form.get_by_role("button", name="Add to tags").click()
    form.get_by_label("Tags 1", exact=True).fill("art")
    form.get_by_role("button", name="Extra", exact=True).click()
    form.get_by_role("textbox", name="Extra").fill('{"a": ')
    form.get_by_role("button", name="Send answer").click()
    expect(form.locator(".entry-complaint")).to_have_text("This is no valid JSON.")
    form.get_by_role("textbox", name="Extra").fill('{"a": 1}')
    screenshot(page, "question-form")
    axe(page)
    form.get_by_role("button", name="Send answer").click()
    # Declined with a reason, and approved.
    cards.nth(3).get_by_role("button", name="Decline").click()
    cards.nth(3).get_by_label("Why not? The assistant reads it.").fill("Too far")
    cards.nth(3).get_by_role("button", name="Decline with this reason").click()
    expect(cards.nth(4).get_by_role("heading")).to_have_text("The budget is used up")
    cards.nth(4).get_by_role("button", name="Approve").click()
    page.get_by_role("button", name="Send 5 answers").click()
    expect(page.get_by_text("Answered", exact=True)).to_have_count(5)
    answer = {"city": "Paris", "days": 3, "when": "tomorrow", "tags": ["art"], "extra": {"a": 1}}
    assert sent["resume"]["resume"] == [
        {"interruptId": "q1", "status": "resolved"},
        {"interruptId": "q2", "status": "resolved"},
        {"interruptId": "q3", "status": "resolved", "payload": answer},
        {"interruptId": "q4", "status": "resolved", "payload": {"approved": False, "reason": "Too far"}},
        {"interruptId": "q5", "status": "resolved", "payload": {"approved": True}},
    ]
