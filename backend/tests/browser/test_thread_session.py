"""An open thread: reloads, lost lines, second tabs and new API processes leave no trace in what is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise

import httpx
from playwright.sync_api import Locator, Page, Route, expect

# Notes each text that an answer shows, and messages that are there twice or go away: what flickers is in the notes.
_WATCH = """() => {
  const notes = { texts: {}, doubled: 0, lost: 0 };
  window.__notes = notes;
  let messages = 0;
  const look = () => {
    const all = [...document.querySelectorAll("[data-message-id]")];
    if (new Set(all.map((one) => one.dataset.messageId)).size !== all.length) notes.doubled++;
    if (all.length < messages) notes.lost++;
    messages = all.length;
    for (const one of all) {
      const text = one.querySelector(".markdown")?.textContent;
      const texts = (notes.texts[one.dataset.messageId] ??= []);
      if (text && text !== texts.at(-1)) texts.push(text);
    }
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


def _ask(page: Page, words: str) -> None:
    page.get_by_role("textbox", name="Message").fill(words)
    page.keyboard.press("Enter")


def _answer(page: Page) -> Locator:
    return page.locator(".message.assistant .markdown").last


def _until_the_end(page: Page) -> None:
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)


def _thread_id(page: Page) -> str:
    return page.url.rpartition("/")[2]


def _stored_answer(api: httpx.Client, page: Page) -> str:
    history = api.get("/history", params={"threadId": _thread_id(page)}).json()
    return history["messages"][-1]["content"]


def _shows_what_is_stored(api: httpx.Client, page: Page) -> None:
    _until_the_end(page)
    stored = " ".join(_stored_answer(api, page).split())
    expect(_answer(page)).to_have_text(stored)


def _grew_only(page: Page) -> None:
    notes = page.evaluate("window.__notes")
    assert (notes["doubled"], notes["lost"]) == (0, 0)
    assert notes["texts"]
    for texts in notes["texts"].values():
        for earlier, later in pairwise(texts):
            assert later.startswith(earlier.rstrip())


def test_a_reload_in_mid_answer_goes_on_and_a_second_tab_follows(
    chat_page: Page, second_tab: Callable[[], Page], api: httpx.Client, screenshot: Callable[..., None]
) -> None:
    _ask(chat_page, "slowly")
    expect(_answer(chat_page)).to_contain_text("Slowly")
    expect(chat_page.locator(".message.user")).to_have_count(1)
    screenshot(chat_page, "streaming")
    other = second_tab()
    expect(_answer(other)).to_contain_text("Slowly")
    other.evaluate(_WATCH)

    # Noted from the first thing that is drawn after the reload.
    chat_page.add_init_script(f"addEventListener('DOMContentLoaded', {_WATCH})")
    before = _answer(chat_page).text_content() or ""
    chat_page.reload()
    expect(_answer(chat_page)).to_contain_text(before[:20])
    assert len(_answer(chat_page).text_content() or "") >= len(before.rstrip())

    for page in (chat_page, other):
        _shows_what_is_stored(api, page)
        _grew_only(page)
    # The first thing that was drawn had all that was there before.
    shown = [texts for texts in chat_page.evaluate("Object.values(window.__notes.texts)") if texts]
    assert shown[0][0].startswith(before.rstrip())

    # The other tab asks; this one shows the question and the answer.
    _ask(other, "what is 6*7")
    expect(chat_page.locator(".message.user").last).to_contain_text("what is 6*7")
    expect(_answer(chat_page)).to_contain_text("42")
    _grew_only(other)


def test_a_lost_line_is_told_and_the_answer_goes_on(
    chat_page: Page,
    offline: Callable[[], AbstractContextManager[None]],
    api: httpx.Client,
    screenshot: Callable[..., None],
) -> None:
    _ask(chat_page, "slowly")
    expect(_answer(chat_page)).to_contain_text("Slowly")
    chat_page.evaluate(_WATCH)
    with offline():
        expect(chat_page.get_by_text("You are offline")).to_be_visible()
        screenshot(chat_page, "offline")
    expect(chat_page.get_by_text("You are offline")).to_have_count(0)
    _shows_what_is_stored(api, chat_page)
    _grew_only(chat_page)


def test_an_opening_that_is_cut_off_again_and_again_is_told_once(chat_page: Page, api: httpx.Client) -> None:
    _ask(chat_page, "what is 6*7")
    _until_the_end(chat_page)
    page = chat_page.context.new_page()
    cuts = 0

    def cut_off(route: Route) -> None:
        nonlocal cuts
        if cuts == 3:
            route.continue_()
            return
        cuts += 1
        answer = route.fetch()
        frames = answer.text().split("\n\n")
        # Two blocks, and half of the next one.
        route.fulfill(response=answer, body="\n\n".join(frames[:2]) + "\n\n" + frames[2][:10])

    page.route("**/events?*connect=true*", cut_off)
    page.add_init_script(f"addEventListener('DOMContentLoaded', {_WATCH})")
    page.goto(chat_page.url)
    expect(_answer(page)).to_contain_text("42")
    assert cuts == 3
    _shows_what_is_stored(api, page)
    _grew_only(page)
