"""The state that the assistant and the user edit together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Page, expect


def say(page: Page, text: str) -> None:
    field = page.get_by_role("textbox", name="Message")
    field.fill(text)
    field.press("Enter")


def state(api: httpx.Client, page: Page) -> Any:
    thread = {"threadId": page.url.rpartition("/t/")[2]}
    return api.get("/history", params=thread).json()["state"]


def test_both_sides_edit_the_state(
    chat_page: Page, api: httpx.Client, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    page = chat_page
    page.get_by_role("button", name="Shared state").click()
    panel = page.get_by_role("complementary", name="Shared state")
    expect(panel.get_by_text("has no shared state yet")).to_be_visible()
    screenshot(page, "state-none")
    panel.get_by_role("button", name="Start a list").click()
    expect(panel.get_by_text("Your change is sent with your next message.")).to_be_visible()
    say(page, "put milk and bread on the list")
    expect(panel.locator(".state-row.changed")).to_have_count(2)
    expect(panel.get_by_text("Your change is sent")).to_have_count(0)
    screenshot(page, "state-changed")
    axe(page)
    # The user's side: an item of the tree, and the whole as JSON.
    panel.get_by_role("textbox", name="New item in /list").fill("tea")
    panel.get_by_role("textbox", name="New item in /list").press("Enter")
    panel.get_by_role("button", name="Remove 1").click()
    panel.get_by_role("button", name="JSON").click()
    text = panel.get_by_role("textbox", name="Shared state as JSON")
    text.fill('{"list": ["bread", "tea"], "shop": ')
    expect(panel.get_by_text("No valid JSON")).to_be_visible()
    expect(panel.get_by_role("button", name="Apply")).to_be_disabled()
    text.fill('{"list": ["bread", "tea"], "shop": "corner"}')
    panel.get_by_role("button", name="Apply").click()
    say(page, "what is on the list")
    expect(page.locator(".message").get_by_text("On the list: bread, tea.")).to_be_visible()
    assert state(api, page) == {"list": ["bread", "tea"], "shop": "corner"}
    # Everything away: an empty state is an edit, too.
    panel.get_by_role("textbox", name="Shared state as JSON").fill("{}")
    panel.get_by_role("button", name="Apply").click()
    say(page, "hello")
    expect(page.locator(".message.assistant").last).to_contain_text("Hello!")
    assert state(api, page) == {}


def test_the_users_draft_is_kept_when_the_assistant_is_faster(
    chat_page: Page,
    api: httpx.Client,
    second_tab: Callable[[], Page],
    screenshot: Callable[..., None],
    axe: Callable[..., None],
) -> None:
    page = chat_page
    page.get_by_role("button", name="Shared state").click()
    panel = page.get_by_role("complementary", name="Shared state")
    panel.get_by_role("button", name="Start a list").click()
    say(page, "put milk on the list")
    expect(panel.locator(".state-row")).to_have_count(1)
    other = second_tab()
    expect(other.locator(".message.user")).to_contain_text("put milk on the list")
    panel.get_by_role("textbox", name="/list/0").fill("oat milk")
    panel.get_by_role("textbox", name="/list/0").press("Enter")
    say(other, "put tea on the list")
    conflict = panel.get_by_role("region", name="Your change and the assistant's")
    expect(conflict.get_by_role("row", name="/list/0")).to_contain_text("“oat milk”")
    expect(panel.locator(".state-row").nth(0).get_by_role("textbox")).to_have_value("milk")
    screenshot(page, "state-conflict")
    axe(page)
    conflict.get_by_role("button", name="Use mine at /list/0").click()
    expect(panel.locator(".state-row").nth(0).get_by_role("textbox")).to_have_value("oat milk")
    conflict.get_by_role("button", name="Drop mine").click()
    expect(conflict).to_have_count(0)
    say(page, "what is on the list")
    expect(page.locator(".message").get_by_text("On the list: oat milk, tea.")).to_be_visible()
    assert state(api, page) == {"list": ["oat milk", "tea"]}
