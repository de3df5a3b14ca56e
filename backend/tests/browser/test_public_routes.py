"""The page is a client as any other: it asks for nothing but the public routes and its own files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Page, Request, expect
from tests.support.browser_tab import NewTab, Site

from agentroute.embedded_api.routes import EMBEDDED_PREFIX
from agentroute.page.built_files import BuiltFiles


def public_routes(document: dict[str, dict[str, dict[str, object]]]) -> list[tuple[str, re.Pattern[str]]]:
    """Return the method and the form of the path of each route of an OpenAPI document."""
    return [
        (method.upper(), re.compile(re.sub(r"\\\{.+?\\\}", "[^/]+", re.escape(path))))
        for path, methods in document["paths"].items()
        for method in methods
    ]


def is_public(asked: str, routes: Iterable[tuple[str, re.Pattern[str]]]) -> bool:
    method, path = asked.split()
    return any(
        method in (known, "HEAD" if known == "GET" else known) and form.fullmatch(path)
        for known, form in routes
    )


def send(page: Page, text: str) -> None:
    box = page.get_by_role("textbox", name="Message")
    box.fill(text)
    box.press("Enter")
    expect(box).to_have_value("")


def use_everything(page: Page) -> None:
    """A session of a user who tries what there is."""
    send(page, "calculate 6*7")
    expect(page.locator(".message.assistant .meter")).to_have_count(2)
    send(page, "remember that I like tea")
    page.get_by_role("button", name="Approve").first.click()
    expect(page.locator(".message.assistant .meter")).to_have_count(4)
    page.get_by_role("button", name="Inspector").click()
    panel = page.get_by_role("complementary", name="Inspector")
    panel.get_by_role("tab", name="Runs").click()
    panel.get_by_role("article").last.get_by_role("button", name="Show").click()
    page.reload()
    page.get_by_role("button", name="Inspector").click()
    panel.get_by_label("Run", exact=True).select_option(index=2)
    expect(panel.get_by_role("listbox").get_by_role("option").nth(3)).to_be_attached()
    page.get_by_role("button", name="Usage").click()
    expect(page.get_by_role("listbox", name="Usage by day")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Memory").click()
    expect(page.get_by_role("dialog", name="Memory").get_by_role("listitem")).not_to_have_count(0)
    page.keyboard.press("Escape")
    panel.get_by_label("Run", exact=True).select_option("")
    send(page, "say hello slowly")
    page.get_by_role("button", name="Stop").first.click()
    expect(panel.locator(".run-head .run-badge")).to_have_text("cancelled")

    page.get_by_role("searchbox", name="Search conversations").fill("tea")
    # Other tests speak of tea, too.
    entry = page.get_by_role("listitem").filter(has=page.locator("a[aria-current='page']"))
    expect(entry).to_be_visible()
    entry.get_by_role("button", name="More for").click()
    entry.get_by_role("menuitem", name="Rename").click()
    page.get_by_role("textbox", name="Title").fill("Tea")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Tea")).to_be_visible()
    entry.get_by_role("button", name="More for").click()
    entry.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Tea")).to_have_count(0)


def test_the_page_asks_for_public_routes_and_its_own_files_only(
    new_tab: NewTab, service: Site, api: httpx.Client
) -> None:
    tab = new_tab()
    asked: set[str] = set()

    def note(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https"):
            asked.add(f"{request.method} {address.path}")

    tab.page.context.on("request", note)
    tab.page.reload()
    use_everything(tab.page)

    routes = public_routes(httpx.get(f"{service.url}/openapi.json").json())
    files = {"GET /", *(f"GET /{name}" for name in BuiltFiles().names())}
    # In the embedded mode alone, for the machine's own user: docs/adr/0048.
    others = {one for one in asked if not is_public(one, routes) and EMBEDDED_PREFIX not in one}
    assert others <= files, f"neither public nor a file of the page: {sorted(others - files)}"

    # The session used what it says: each of these is a public route that was really asked for.
    used = {
        re.sub(r"/(t|run)-[^/]+", "/*", one.split("/api/v1/agent")[-1]) for one in asked if "/agent/" in one
    }
    assert used >= {
        "/runs",
        "/resume",
        "/events",
        "/usage",
        "/memory",
        "/threads",
        "/threads/*",
        "/threads/*/runs",
        "/runs/*/cancel",
    }
