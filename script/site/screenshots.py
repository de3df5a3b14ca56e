"""Takes the pictures of the chat page for README.md, light and dark: ``script/screenshots``.

Everything is real: the service as ``agentroute embedded`` starts it, its scripted model, and Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import Browser, ViewportSize, expect
from tests.support.chromium import chromium
from tests.support.embedded_service import API, bundled_service

_SIZE: ViewportSize = {"width": 1280, "height": 832}
_SECONDS = 60
_EARLIER = (
    "think about 6 and calculate 6*7",
    "what time is it in Lisbon",
    "my name is Ada",
)
"""Conversations of the list, the newest first."""
_SAID = ("calculate 19.99 * 3", "remember that I like tea")
"""What is said in the conversation that is shown. The last one asks for an approval."""


def _talk(api: str) -> str:
    """Hold the conversations; returns the thread to show."""
    said = [(f"earlier-{number}", [text]) for number, text in enumerate(_EARLIER)]
    with httpx.Client(base_url=api, timeout=_SECONDS) as client:
        for thread, texts in [*reversed(said), ("shown", list(_SAID))]:
            for number, text in enumerate(texts):
                message = {"id": f"m-{number}", "role": "user", "content": text}
                client.post(
                    "/runs",
                    json={"threadId": thread, "messages": [message]},
                    headers={"Accept": "text/event-stream"},
                ).raise_for_status()
    return "shown"


def _picture(browser: Browser, address: str, scheme: Literal["light", "dark"], file: Path) -> None:
    context = browser.new_context(color_scheme=scheme, viewport=_SIZE, reduced_motion="reduce")
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_role("button", name="Approve").first).to_be_visible(timeout=_SECONDS * 1000)
    expect(page.get_by_text(_EARLIER[0]).first).to_be_visible(timeout=_SECONDS * 1000)
    page.screenshot(path=file)
    context.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with (
        tempfile.TemporaryDirectory(prefix="agentroute-") as data,
        bundled_service(Path(data)) as api,
        chromium() as browser,
    ):
        thread = _talk(api)
        for scheme in ("light", "dark"):
            _picture(browser, f"{api.removesuffix(API)}/#/t/{thread}", scheme, folder / f"page-{scheme}.png")
