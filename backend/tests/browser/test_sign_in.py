"""The page of a service that wants tokens: real ones, of a process beside the others that checks them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import jwt
import psutil
from playwright.sync_api import Locator, Page, expect
from tests.support.browser_tab import NewTab, Site
from tests.support.embedded_service import API, second_api
from tests.support.processes import command_of

_SECRET = "a secret of at least 32 bytes, for a test"
_IDENTITY = {
    "AGENT_IDENTITY__MODE": "jwt",
    "AGENT_IDENTITY__JWT_SECRET": _SECRET,
    "AGENT_IDENTITY__LEEWAY_SECONDS": "0",
}
_SHORT_SECONDS = 2
"""The first try of a token that is to expire while the page reads; a machine that needs longer is given more."""


def _token(seconds: float, secret: str = _SECRET) -> str:
    now = time.time()
    return jwt.encode({"sub": "ada", "iat": now - 60, "exp": now + seconds}, secret, algorithm="HS256")


@contextmanager
def held_models() -> Iterator[None]:
    """Stop the demo models of this test run: an answer that has begun waits, however slow this machine is."""
    models = [
        process
        for process in psutil.Process().children(recursive=True)
        if "agentroute.demo.model" in command_of(process)
    ]
    assert models
    for model in models:
        model.suspend()
    try:
        yield
    finally:
        for model in models:
            model.resume()


def read_until_it_expires(page: Page, field: Locator, answer: Locator) -> None:
    """Open the thread with a token that expires while its answer is held; returns when the page wants another."""
    seconds = _SHORT_SECONDS
    while True:
        # The page keeps its token here, and the same window is the same page to it.
        page.evaluate("(token) => sessionStorage.setItem('agentroute.token', token)", _token(seconds))
        page.reload()
        expect(answer.or_(field).first).to_be_visible()
        shown = answer.is_visible()
        expect(field).to_be_editable()
        if shown:
            return
        seconds *= 2


def test_a_token_that_expires_in_the_middle_of_an_answer_costs_no_word(
    new_tab: NewTab, service: Site
) -> None:
    with second_api(service.data, _IDENTITY) as api:
        tab = new_tab(api.removesuffix(API) + "/")
        # 404: a page of this machine asks whether the service is an embedded one.
        tab.watch.allow("status of 40[14]")
        page = tab.page
        dialog = page.get_by_role("dialog", name="Sign in")
        field = dialog.get_by_label("Bearer token")
        answer = page.locator(".message.assistant .markdown")
        for refused in (_token(3600, "another secret of at least 32 bytes, too"), _token(-1)):
            field.fill(refused)
            field.press("Enter")
            expect(dialog).to_contain_text("The token was refused")
            expect(field).to_have_value("")
        field.fill(_token(3600))
        field.press("Enter")
        expect(dialog).to_have_count(0)
        page.get_by_role("textbox", name="Message").fill("think about it slowly")
        page.keyboard.press("Enter")
        expect(answer).to_have_text(re.compile(r"\w"))

        with held_models():
            read_until_it_expires(page, field, answer)
            expect(answer).not_to_contain_text("This is the end")
            fresh = _token(3600)
            field.fill(fresh)
            field.press("Enter")
            expect(dialog).to_have_count(0)
        expect(answer).to_contain_text("This is the end of the slow answer.")
        thread = {"threadId": page.url.rpartition("/t/")[2]}
        headers = {"Authorization": f"Bearer {fresh}"}
        messages = httpx.get(f"{api}/history", params=thread, headers=headers).json()["messages"]
        assert answer.all_inner_texts() == [
            message["content"] for message in messages if message["role"] == "assistant"
        ]
