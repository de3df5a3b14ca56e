"""The first run: a newcomer takes a real model in place of the scripted demo, and comes back to it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect
from tests.support.browser_tab import NewTab, Site, Tab
from tests.support.key_endpoint import KEY, key_endpoint
from tests.support.limits import HUNG_SECONDS

Screenshot = Callable[..., None]


@pytest.fixture(scope="module")
def service(bundled: Site) -> Site:
    """As it comes: with the demo model, and nothing chosen by the environment."""
    return bundled


def _fill(form: Locator, base_url: str, key: str, name: str) -> None:
    form.get_by_label("Address").fill(base_url)
    form.get_by_label("Key").fill(key)
    form.get_by_label("Name of the model").fill(name)
    _check(form)


def _check(form: Locator) -> None:
    """Check and use, and wait for the answer: the list of models, asked for meanwhile, may be refused in the same words.

    By the keyboard, as that list moves the button.
    """
    with form.page.expect_response(lambda answer: answer.request.method == "PUT"):
        form.get_by_label("Name of the model").press("Enter")


def _say(page: Page, text: str) -> None:
    field = page.get_by_role("textbox", name="Message")
    field.fill(text)
    field.press("Enter")


def _api_process(service: Site) -> dict[str, Any]:
    headers = {"X-AgentRoute-Page": "1"}
    answer = httpx.get(f"{service.url}/api/v1/embedded/processes", headers=headers, timeout=HUNG_SECONDS)
    return next(each for each in answer.raise_for_status().json()["processes"] if each["name"] == "api")


@contextmanager
def _new_api(service: Site) -> Iterator[None]:
    """At the end, wait for the API, which starts again after a change of the model."""
    before = _api_process(service)["pid"]
    yield
    deadline = time.monotonic() + HUNG_SECONDS
    while True:
        with suppress(httpx.TransportError, httpx.HTTPStatusError):
            if (now := _api_process(service))["pid"] != before and now["state"] == "running":
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _panel(page: Page) -> Locator:
    page.get_by_role("button", name="Model", exact=True).click()
    return page.get_by_role("complementary", name="Model")


def _open_card(page: Page) -> Locator:
    card = page.get_by_role("region", name="Model")
    expect(card).to_contain_text("The demo model is scripted")
    card.get_by_role("button", name=re.compile("real model|another model")).click()
    return card


def test_a_model_is_checked_kept_and_used_and_the_demo_comes_back(
    chat: Tab, new_tab: NewTab, service: Site, screenshot: Screenshot, axe: Callable[..., None]
) -> None:
    page = chat.page
    chat.watch.allow("status of (422|503)|ERR_|Failed to fetch")
    screenshot(page, "first-run")
    axe(page)
    card = _open_card(page)

    with key_endpoint() as base_url:
        # Whatever is wrong is said in words, and the place is marked.
        problem = card.get_by_role("alert")
        _fill(card, "http://127.0.0.1:1/v1", "", "large")
        expect(problem).to_contain_text("Nothing answers at 127.0.0.1:1")
        _fill(card, base_url, "sk-wrong", "large")
        expect(problem).to_contain_text("refuses the key")
        expect(card.get_by_label("Key")).to_have_attribute("aria-invalid", "true")
        _fill(card, base_url, KEY, "huge")
        expect(problem).to_contain_text("has no model huge")
        screenshot(page, "first-run-refused")
        axe(page)

        # The models that it has are offered; an address without its version is completed.
        card.get_by_role("group", name="Models there").get_by_role("button", name="small").click()
        expect(card.get_by_label("Name of the model")).to_have_value("small")
        card.get_by_label("Address").fill(base_url.removesuffix("/v1"))
        with _new_api(service):
            _check(card)
            expect(page.get_by_role("region", name="Model")).to_contain_text("small answers.")
        screenshot(page, "first-run-done", ("light",))

        _say(page, "who are you?")
        expect(page.get_by_role("list", name="Messages")).to_contain_text("I am small.")

        # Another name keeps the key, which no answer shows.
        panel = _panel(page)
        for told in ("small", base_url, "Kept"):
            expect(panel.get_by_role("definition").filter(has_text=told)).to_be_visible()
        panel.get_by_label("Name of the model").fill("large")
        with _new_api(service):
            _check(panel)
            expect(panel).to_contain_text("large answers.")
        screenshot(page, "model-panel")
        axe(page)

        later = new_tab()
        later.watch.allow("status of 503|ERR_")
        expect(later.page.get_by_role("textbox", name="Message")).to_be_editable()
        expect(later.page.get_by_role("region", name="Model")).to_have_count(0)
        assert KEY not in later.page.content()

    with _new_api(service):
        panel.get_by_role("button", name="Use the demo again").click()
        expect(panel).to_contain_text("Scripted demo, not an AI")


def test_a_model_server_of_this_machine_is_offered(chat: Tab, service: Site) -> None:
    """Played: whether Ollama runs here is not ours to decide."""
    page = chat.page
    address = "http://127.0.0.1:11434/v1"
    server = {"title": "Ollama", "baseUrl": address, "models": ["qwen3:8b", "llama3.2"]}

    def with_ollama(route: Route) -> None:
        told = httpx.get(f"{service.url}/api/v1/embedded/model", headers={"X-AgentRoute-Page": "1"}).json()
        route.fulfill(json={**told, "found": [server]})

    page.route("**/api/v1/embedded/model", with_ollama)
    page.reload()
    card = page.get_by_role("region", name="Model")
    card.get_by_role("button", name="Use Ollama or another model").click()
    card.get_by_role("group", name="Found on this machine").get_by_role("button").click()

    expect(card.get_by_label("Address")).to_have_value(address)
    expect(card.get_by_label("Name of the model")).to_have_value("qwen3:8b")
