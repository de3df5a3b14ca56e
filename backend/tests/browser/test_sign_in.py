"""The page of a service that wants tokens: real ones, of a process beside the others that checks them."""

from __future__ import annotations

import time

import httpx
import jwt
from playwright.sync_api import expect
from tests.support.browser_tab import NewTab, Site
from tests.support.embedded_service import API, second_api

_SECRET = "a secret of at least 32 bytes, for a test"
_IDENTITY = {
    "AGENT_IDENTITY__MODE": "jwt",
    "AGENT_IDENTITY__JWT_SECRET": _SECRET,
    "AGENT_IDENTITY__LEEWAY_SECONDS": "0",
}
_SHORT_SECONDS = 6
"""Enough to sign in and to ask; the answer takes half as long again, at the scripted model's slow pace."""


def _token(seconds: float, secret: str = _SECRET) -> str:
    now = time.time()
    return jwt.encode({"sub": "ada", "iat": now - 60, "exp": now + seconds}, secret, algorithm="HS256")


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
        field.fill(_token(_SHORT_SECONDS))
        field.press("Enter")
        expect(dialog).to_have_count(0)
        page.get_by_role("textbox", name="Message").fill("think about it slowly")
        page.keyboard.press("Enter")

        expect(field).to_be_editable()
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
