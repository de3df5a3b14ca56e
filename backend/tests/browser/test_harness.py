"""The browser tests' own tools: what they forbid is noticed."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect
from tests.support.axe import violations
from tests.support.browser_tab import NewTab
from tests.support.page_watch import PageWatch


def test_the_api_reference_works_under_its_policy(new_tab: NewTab) -> None:
    tab = new_tab("/docs")

    expect(tab.page.get_by_role("heading", name="AgentRoute")).to_be_visible()


def test_errors_breaches_of_the_policy_and_requests_to_other_hosts_are_noticed(browser: Browser) -> None:
    with browser.new_context() as context:
        # Answered here: nothing leaves the machine.
        context.route(
            "**/*", lambda route: route.fulfill(body="", headers={"Access-Control-Allow-Origin": "*"})
        )
        context.route(
            "http://page.test/",
            lambda route: route.fulfill(
                content_type="text/html",
                body="<main><h1>x</h1><img src='http://page.test/a.png'></main>",
                headers={"Content-Security-Policy": "img-src 'none'"},
            ),
        )
        watch = PageWatch(context, "page.test")
        watch.allow("allowed|violates")
        page = context.new_page()
        page.goto("http://page.test/")
        page.evaluate("console.error('allowed'); console.error('seen'); console.warn('a warning')")
        page.evaluate("() => fetch('http://other.test/x')")
        page.evaluate("setTimeout(() => { throw new Error('thrown') })")
        page.wait_for_function("true")

        complaints = "\n".join(watch.complaints())
    assert "console: seen" in complaints
    assert "Content Security Policy" in complaints
    assert "request to another host: GET http://other.test/x" in complaints
    assert "uncaught: Error: thrown" in complaints
    assert len(watch.complaints()) == 4


def test_an_image_without_words_is_a_violation(browser: Browser, axe_engine: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_content("<html lang=en><title>x</title><main><h1>x</h1><img src=data:,></main></html>")

        assert [line.split(":")[0] for line in violations(page, axe_engine)] == ["image-alt"]
