"""The panel of a user's data as a whole: it is taken along as a file, and deleted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect


def test_everything_is_taken_along_and_then_deleted(
    chat_page: Page, api: httpx.Client, axe: Callable[..., None], screenshot: Callable[..., None]
) -> None:
    page = chat_page
    box = page.get_by_role("textbox", name="Message")
    box.fill("calculate 6*7")
    box.press("Enter")
    expect(page.locator(".message.assistant .meter")).to_have_count(2)
    box.fill("a draft that nobody shall find")
    page.get_by_role("button", name="Your data").click()
    panel = page.get_by_role("dialog", name="Your data")

    with page.expect_download() as downloaded:
        panel.get_by_role("button", name="Export", exact=True).click()
    lines = downloaded.value.path().read_bytes().splitlines(keepends=True)
    end = json.loads(lines[-1])
    assert end["sha256"] == hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    assert "calculate 6*7" in {json.loads(line).get("title") for line in lines}
    expect(panel.get_by_text("complete")).to_contain_text(downloaded.value.suggested_filename)

    panel.get_by_role("button", name="Delete everything…").click()
    typed = panel.get_by_label("to confirm")
    expect(typed).to_be_focused()
    confirm = panel.get_by_role("button", name="Delete everything about me")
    typed.fill("delete")
    expect(confirm).to_be_disabled()
    typed.fill("Delete everything")
    axe(page, "dialog")
    screenshot(page, "your-data")
    with page.expect_response("**/me") as erased:
        typed.press("Enter")
    expect(panel.get_by_text("Everything about you is deleted.")).to_be_visible()
    receipt = erased.value.json()
    (messages,) = (line for line in receipt["stores"] if line["store"] == "postgres: agent_chat_message")
    row = panel.get_by_role("row", name="Messages")
    expect(row.get_by_role("cell").first).to_have_text(f"{messages['removed']:,}")
    axe(page, "dialog")
    screenshot(page, "your-data-receipt")
    assert api.get("/threads").json()["threads"] == []

    page.evaluate("sessionStorage.setItem('agentroute.token', 'of the user')")
    with page.expect_event("load"):
        panel.get_by_role("button", name="Done").click()
    expect(page.get_by_text("Your conversations will be here.")).to_be_visible()
    expect(box).to_have_value("")
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "nobody shall find" not in kept
    assert "of the user" not in kept
