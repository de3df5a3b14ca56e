"""The resilience panel: parts of the service are killed while an answer streams, and the page misses nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from tests.support.browser_tab import Site, Tab

SLOW_END = "This is the end of the slow answer."


@pytest.fixture(scope="module")
def service(bundled: Site) -> Site:
    """Of its own: its processes are killed."""
    return bundled


def _kill(page: Page, title: str, answers: int) -> None:
    panel = page.get_by_role("complementary", name="Resilience")
    # A process that was killed before must be back.
    expect(panel.get_by_role("button", name=f"Kill {title}")).to_be_enabled()
    panel.get_by_role("button", name="Ask for a long one").click()
    expect(page.get_by_role("list", name="Messages").get_by_text("Slowly it is.")).to_have_count(answers)
    panel.get_by_role("button", name=f"Kill {title}").click()


def test_whatever_is_killed_nothing_is_lost_and_nothing_comes_twice(
    chat: Tab, screenshot: Callable[..., None], axe: Callable[..., None]
) -> None:
    page = chat.page
    # While the API is away, its requests fail.
    chat.watch.allow("ERR_|status of 503")
    page.get_by_role("button", name="Resilience").click()
    panel = page.get_by_role("complementary", name="Resilience")
    expect(panel.get_by_role("listitem")).to_have_count(3)
    axe(page)
    messages = page.get_by_role("list", name="Messages")
    happened = panel.get_by_role("region", name="What happened")

    _kill(page, "API", 1)
    expect(happened).to_contain_text("API killed")
    expect(happened).to_contain_text("Line lost")
    expect(happened).to_contain_text("Line back")
    expect(happened).to_contain_text("API back")
    expect(happened).to_contain_text("Answer complete")
    expect(happened.get_by_role("status")).to_contain_text("None lost, none twice.")
    expect(messages.get_by_text(SLOW_END)).to_have_count(1)
    screenshot(page, "resilience")
    axe(page)

    _kill(page, "Redis", 2)
    expect(happened).to_contain_text("Redis killed")
    expect(happened).to_contain_text("Redis back")
    expect(happened.get_by_role("status")).to_contain_text("None lost, none twice.")
    expect(messages.get_by_text(SLOW_END)).to_have_count(2)

    _kill(page, "Worker", 3)
    expect(happened).to_contain_text("Worker killed")
    expect(happened).to_contain_text("Answer ended:")
    expect(happened).to_contain_text("Worker back")
    expect(happened.get_by_role("status")).to_contain_text("None lost, none twice.")
    expect(panel).to_contain_text("restarted once")
    screenshot(page, "resilience-worker", ("dark", "phone"))
