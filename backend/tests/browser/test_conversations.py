"""The list of conversations, what a long one does, and what a message may not do to the page."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Page, Route, expect
from tests.support.browser_tab import NewTab, Site
from tests.support.page_watch import PageWatch

MARKDOWN = """# Heading

A [good link](https://example.com/a) and a [bad one](javascript:alert(1)), an ![image](https://example.com/i.png).

<img src=x onerror="window.__hacked = 1"><script>window.__hacked = 2</script><b style="color:red">raw</b>

- [x] done
- [ ] open

| a | b |
| - | - |
| 1 | 2 |

```python
def f(x): return "</code><img src=x onerror=window.__hacked=3>"
```

End with [a reference][ref].

[ref]: https://example.com/ref
"""


_SEEN = "document.elementFromPoint(700, 110).closest('li').dataset.messageId"
_TOP = "(id) => document.querySelector(`[data-message-id=${id}]`).getBoundingClientRect().top"


def begin(api: httpx.Client, words: str, *earlier: dict[str, str]) -> str:
    """Start a thread as another client does; returns its id when the answer is there, for "slowly" at once."""
    thread = f"t-{uuid4().hex[:16]}"
    messages = [*earlier, {"id": "last", "role": "user", "content": words}]
    headers = {"Accept": "application/json" if words == "slowly" else "text/event-stream"}
    api.post("/runs", json={"threadId": thread, "messages": messages}, headers=headers).raise_for_status()
    return thread


def test_conversations_are_found_renamed_and_deleted(
    chat_page: Page, api: httpx.Client, axe: Callable[..., None], screenshot: Callable[..., None]
) -> None:
    word = f"Zebra{uuid4().hex[:8]}"
    threads = [begin(api, f"{word} {n}") for n in range(31)]
    sidebar = chat_page.get_by_role("navigation", name="Conversations")
    sidebar.get_by_role("searchbox").fill(word)
    entries = sidebar.get_by_role("listitem")
    expect(entries.filter(has_text=word)).to_have_count(30)
    # The second page comes when its place is seen.
    sidebar.locator(".thread-scroll").evaluate("(box) => (box.scrollTop = box.scrollHeight)")
    expect(entries).to_have_count(len(threads))

    entries.first.get_by_role("link").click()
    current = sidebar.locator(".thread-entry:has([aria-current=page])")
    expect(chat_page.locator(".message.user")).to_contain_text(word)
    expect(current).to_contain_text(word)
    assert chat_page.url.rpartition("/")[2] in threads

    current.hover()
    current.get_by_role("button", name="More for").click()
    screenshot(chat_page, "conversations", ("light", "dark"))
    axe(chat_page)
    chat_page.get_by_role("menuitem", name="Rename").click()
    chat_page.get_by_role("dialog").get_by_label("Title").fill(f"Renamed {word}")
    axe(chat_page)
    chat_page.keyboard.press("Enter")
    expect(chat_page.get_by_role("heading", name=f"Renamed {word}")).to_be_visible()
    expect(current).to_contain_text(f"Renamed {word}")

    current.get_by_role("button", name="More for").click()
    chat_page.keyboard.press("ArrowDown")
    chat_page.keyboard.press("Enter")
    dialog = chat_page.get_by_role("dialog")
    expect(dialog).to_contain_text("cannot be undone")
    dialog.get_by_role("button", name="Delete").click()
    expect(entries).to_have_count(len(threads) - 1)
    # The open one was deleted: there is a new, empty one in its place.
    expect(chat_page.get_by_role("heading", name="New conversation")).to_be_visible()
    expect(chat_page.get_by_role("textbox", name="Message")).to_be_editable()


def test_a_thread_that_another_page_deletes_is_left(
    chat_page: Page, watch: PageWatch, api: httpx.Client
) -> None:
    watch.allow("status of 404")
    thread = begin(api, "hello")
    chat_page.goto(f"{chat_page.url.partition('#')[0]}#/t/{thread}")
    expect(chat_page.locator(".message.user")).to_contain_text("hello")
    expect(chat_page.get_by_role("button", name="Stop")).to_have_count(0)

    api.delete(f"/threads/{thread}").raise_for_status()

    expect(chat_page.locator(".message.user")).to_have_count(0)
    assert thread not in chat_page.url


def test_a_long_thread_is_read_upwards_and_nothing_moves_under_the_reader(
    chat_page: Page, api: httpx.Client, screenshot: Callable[..., None]
) -> None:
    earlier = [
        {
            "id": f"m-{n}",
            "role": "user" if n % 2 == 0 else "assistant",
            "content": f"message {n}. " + "words " * 40,
        }
        for n in range(150)
    ]
    thread = begin(api, "slowly", *earlier)
    chat_page.goto(f"{chat_page.url.partition('#')[0]}#/t/{thread}")
    messages = chat_page.locator(".message")
    expect(messages.last).to_contain_text("Slowly")
    box = chat_page.locator(".message-scroll")
    # By its address only, so its title is not that of a new one. At its end, where it stays while the answer grows.
    expect(chat_page.get_by_role("heading", name="message 0")).to_be_visible()
    expect(chat_page.get_by_role("button", name="Jump to newest")).to_have_count(0)

    # Older pages come in front of what the reader sees, and the answer grows behind it: the line stays.
    asked: list[Route] = []
    chat_page.route("**/history?*", lambda route: asked.append(route))
    for number, scroll_top in enumerate((900, 0)):
        with chat_page.expect_request("**/history?*"):
            box.evaluate("(box, top) => (box.scrollTop = top)", scroll_top)
        chat_page.evaluate(
            "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
        )
        held = messages.count()
        seen = chat_page.evaluate(_SEEN)
        before = chat_page.evaluate(_TOP, seen)
        asked[number].continue_()
        chat_page.wait_for_function(
            "(held) => document.querySelectorAll('.message').length > held + 40", arg=held
        )
        expect(chat_page.get_by_role("button", name="Jump to newest")).to_be_visible()
        assert abs(chat_page.evaluate(_TOP, seen) - before) <= 1
    chat_page.unroute("**/history?*")
    box.evaluate("(box) => (box.scrollTop = 0)")
    expect(messages.first).to_contain_text("message 0.")
    screenshot(chat_page, "long-thread", ("light", "phone"))

    chat_page.get_by_role("button", name="Jump to newest").click()
    expect(chat_page.get_by_role("button", name="Jump to newest")).to_have_count(0)
    assert box.evaluate("(box) => box.scrollHeight - box.clientHeight - box.scrollTop") <= 48
    assert messages.count() == len(
        {*messages.evaluate_all("(all) => all.map((one) => one.dataset.messageId)")}
    )


def test_markdown_is_drawn_and_does_nothing_else(
    chat_page: Page, api: httpx.Client, axe: Callable[..., None], screenshot: Callable[..., None]
) -> None:
    earlier = [
        {"id": "q", "role": "user", "content": "<b>q</b>"},
        {"id": "a", "role": "assistant", "content": MARKDOWN},
    ]
    thread = begin(api, "hello", *earlier)
    # The form of a link that has no fragment.
    chat_page.goto(f"{chat_page.url.partition('#')[0]}?thread={thread}")
    answer = chat_page.locator("[data-message-id=a]")

    expect(answer.get_by_role("heading", name="Heading")).to_be_visible()
    expect(answer.locator("pre .hljs-keyword")).to_have_text(["def", "return"])
    links = answer.get_by_role("link")
    expect(links).to_have_text(["good link", "image", "a reference"])
    expect(links.first).to_have_attribute("rel", "noopener noreferrer")
    expect(links.first).to_have_attribute("target", "_blank")
    expect(answer).to_contain_text("<script>window.__hacked = 2</script>")
    expect(answer).to_contain_text("☑ done")
    assert answer.locator("img, script, [style]").count() == 0
    assert chat_page.evaluate("window.__hacked") is None
    expect(chat_page.locator("[data-message-id=q]")).to_contain_text("<b>q</b>")
    expect(chat_page.get_by_role("button", name="Stop")).to_have_count(0)
    axe(chat_page)
    screenshot(chat_page, "markdown")


def test_a_phone_has_drawers_and_no_sideways_scrolling(new_tab: NewTab) -> None:
    page = new_tab("/", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).page
    expect(page.get_by_role("textbox", name="Message")).to_be_editable()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Show conversations").click()
    expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()
    rows = page.locator("nav button, nav a, nav .search")
    small = rows.evaluate_all("(all) => all.filter((one) => one.getBoundingClientRect().height < 44).length")
    assert small == 0
    # A phone zooms into a field with smaller text.
    sizes = page.locator("input, textarea").evaluate_all(
        "(all) => all.map((one) => Number.parseFloat(getComputedStyle(one).fontSize))"
    )
    assert len(sizes) >= 2
    assert min(sizes) >= 16
    page.keyboard.press("Escape")
    expect(page.get_by_role("navigation", name="Conversations")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_device_until_the_user_chooses(new_tab: NewTab, scheme: str) -> None:
    page = new_tab("/", color_scheme=scheme).page
    background = "getComputedStyle(document.body).backgroundColor"
    light = "rgb(255, 255, 255)"
    expect(page.get_by_role("textbox", name="Message")).to_be_editable()
    assert (page.evaluate(background) == light) == (scheme == "light")

    other = "Dark" if scheme == "light" else "Light"
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("menuitemradio", name=other).click()
    page.reload()
    expect(page.get_by_role("textbox", name="Message")).to_be_editable()
    assert (page.evaluate(background) == light) == (scheme == "dark")


def test_a_browser_that_lets_no_page_store_anything_has_the_conversation_all_the_same(
    new_tab: NewTab, service: Site
) -> None:
    page = new_tab("/docs").page
    page.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"])
        Object.defineProperty(window, name, {
          configurable: true, get() { throw new DOMException("switched off", "SecurityError"); },
        });"""
    )
    page.goto(f"{service.url}/")
    field = page.get_by_role("textbox", name="Message")
    field.fill("what is 6*7")
    field.press("Enter")
    expect(page.locator(".message.assistant").last).to_contain_text("42")
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_service_that_wants_a_token_asks_for_one(
    new_tab: NewTab, service: Site, axe: Callable[..., None]
) -> None:
    tab = new_tab("/docs")
    tab.watch.allow("status of 401")
    page = tab.page

    def refuse_without_token(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer good":
            route.continue_()
            return
        problem = '{"code": "unauthenticated", "detail": "A token is needed.", "retryable": false}'
        route.fulfill(status=401, content_type="application/problem+json", body=problem)

    page.route(f"{service.api}/**", refuse_without_token)
    page.goto(f"{service.url}/#/t/some-thread")
    dialog = page.get_by_role("dialog", name="Sign in")
    axe(page)
    dialog.get_by_label("Bearer token").fill("bad")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("refused")
    dialog.get_by_label("Bearer token").fill("good")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    # The thread that could not be read before is followed now, without a reload.
    expect(page.get_by_role("heading", level=1).last).to_be_visible()
    expect(page.locator(".empty-thread h1")).to_be_visible()
    page.get_by_role("textbox", name="Message").fill("what is 6*7")
    page.keyboard.press("Enter")
    expect(page.locator(".message.assistant").last).to_contain_text("42")
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 1]
    assert page.context.cookies() == []
