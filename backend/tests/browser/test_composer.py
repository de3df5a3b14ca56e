"""Writing: drafts, Enter and input methods, messages to a busy thread, stop, edit and answer again."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import Locator, Page, expect


def _field(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message", exact=True)


def _say(page: Page, text: str) -> None:
    _field(page).fill(text)
    _field(page).press("Enter")


def _answers(page: Page) -> Locator:
    return page.locator(".message.assistant")


def _thread_of(page: Page) -> str:
    found = re.search(r"t-[0-9a-f]+", page.url)
    assert found, page.url
    return found[0]


def _texts(api: httpx.Client, page: Page) -> list[tuple[str, str]]:
    messages = api.get("/history", params={"threadId": _thread_of(page)}).json()["messages"]
    return [(message["role"], message["content"]) for message in messages]


def test_writing_a_message(
    chat_page: Page, screenshot: Callable[..., None], axe: Callable[..., None], api: httpx.Client
) -> None:
    page, field = chat_page, _field(chat_page)
    send = page.get_by_role("button", name="Send")
    expect(send).to_be_disabled()
    low = field.bounding_box()
    assert low

    # While an input method composes a word, Enter chooses the word.
    field.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    field.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
    field.press_sequentially("first line")
    field.press("Shift+Enter")
    field.press_sequentially("second line")
    expect(field).to_have_value("first line\nsecond line")
    high = field.bounding_box()
    assert high
    assert high["height"] > low["height"]
    axe(page)
    screenshot(page, "composer-draft")

    page.reload()
    expect(field).to_have_value("first line\nsecond line")
    field.press("Enter")
    expect(field).to_have_value("")
    expect(page.locator(".message.user")).to_contain_text("second line")
    expect(_answers(page).last).to_contain_text("You said: “first line second line”")
    page.reload()
    expect(_answers(page).last).to_contain_text("You said: “first line second line”")
    expect(field).to_have_value("")


def test_a_message_to_a_busy_thread_waits_or_interrupts_and_stop_stops(
    chat_page: Page, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    page, field = chat_page, _field(chat_page)
    _say(page, "slowly")
    expect(_answers(page).first).to_contain_text("Slowly it is.")
    field.fill("and then this")
    expect(page.get_by_text("Waits for this answer")).to_be_visible()
    axe(page)
    screenshot(page, "composer-busy", looks=("light", "dark", "phone"))
    page.get_by_role("button", name="How to send").click()
    screenshot(page, "composer-busy-menu", looks=("light",))
    page.get_by_role("menuitem", name="Send after this answer").click()
    # Shown at once, behind the answer that goes on.
    expect(page.get_by_text("and then this")).to_be_visible()
    expect(page.get_by_text("Waits for the answer above")).to_be_visible()
    expect(_answers(page).first).to_contain_text("Slowly it is.")

    field.fill("no, this")
    field.press("Control+Enter")
    # It goes ahead of the one that waits.
    expect(page.locator(".message.user")).to_contain_text(["slowly", "no, this", "and then this"])
    expect(page.get_by_text("Waits for the answer above")).to_have_count(0)
    expect(_answers(page)).to_contain_text(
        ["Slowly it is.", "You said: “no, this”", "You said: “and then this”"]
    )

    _say(page, "slowly, once more")
    expect(_answers(page).last).to_contain_text("Slowly it is.")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("The answer was stopped.")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_edit_and_answer_again_replace_what_followed(
    chat_page: Page,
    second_tab: Callable[[], Page],
    screenshot: Callable[..., None],
    axe: Callable[..., None],
    api: httpx.Client,
) -> None:
    page = chat_page
    for text in ("my name is Ada", "what is my name"):
        _say(page, text)
        expect(page.get_by_role("button", name="Answer again")).to_have_count(
            1 if text.startswith("my") else 2
        )
    other = second_tab()
    expect(other.locator(".message.user")).to_have_count(2)

    _field(page).press("ArrowUp")
    editor = page.get_by_role("textbox", name="Edited message")
    expect(editor).to_have_value("what is my name")
    editor.press("Escape")
    expect(_field(page)).to_be_focused()
    page.locator(".message.user").first.hover()
    page.get_by_role("button", name="Edit the message").first.click()
    expect(editor).to_be_focused()
    expect(editor).to_have_value("my name is Ada")
    axe(page)
    screenshot(page, "composer-edit")
    editor.press("Escape")
    expect(editor).to_be_hidden()
    page.get_by_role("button", name="Edit the message").first.click()
    editor.fill("my name is Grace")
    editor.press("Enter")
    for tab in (page, other):
        expect(tab.locator(".message.user")).to_have_count(1)
        expect(tab.locator(".message.user")).to_contain_text("my name is Grace")
        expect(tab.locator(".message.assistant").last).to_contain_text("Grace")
        expect(tab.locator(".message").get_by_text("Ada")).to_have_count(0)

    with page.expect_response("**/runs") as started:
        page.get_by_role("button", name="Answer again").click()
    assert started.value.status == 202
    for tab in (page, other):
        expect(tab.locator(".message.user")).to_have_count(1)
        expect(tab.get_by_role("button", name="Answer again")).to_have_count(1)
    assert [role for role, _ in _texts(api, page)].count("user") == 1
