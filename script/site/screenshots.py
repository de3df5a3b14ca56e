"""Takes the pictures of the chat page for README.md, light and dark: ``script/screenshots``.

Everything is real: the service as ``agentroute embedded`` starts it, its scripted model, and Chromium.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import Browser, expect, sync_playwright

_CHROMIUM = "/usr/bin/chromium"
_SIZE = {"width": 1280, "height": 800}
_SECONDS = 60
_EARLIER = (
    "think about 6 and calculate 6*7",
    "what time is it in Lisbon",
    "my name is Ada",
)
"""Conversations of the list, the newest first."""
_SAID = ("calculate 19.99 * 3", "remember that I like tea")
"""What is said in the conversation that is shown. The last one asks for an approval."""


@contextmanager
def _service() -> Iterator[str]:
    """Run the service in a folder of its own; yields its address."""
    with tempfile.TemporaryDirectory(prefix="agentroute-") as folder:
        command = [
            sys.executable,
            "-m",
            "agentroute",
            "embedded",
            "--port",
            "0",
            "--data-dir",
            folder,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
            try:
                ready = next(
                    found
                    for line in process.stdout or ()
                    if (found := re.match(r"AgentRoute is ready: (\S+)", line))
                )
                yield ready[1]
            finally:
                process.terminate()
                process.communicate()


def _talk(address: str) -> str:
    """Hold the conversations; returns the thread to show."""
    said = [(f"earlier-{number}", [text]) for number, text in enumerate(_EARLIER)]
    with httpx.Client(base_url=f"{address}/api/v1/agent", timeout=_SECONDS) as client:
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
    context = browser.new_context(color_scheme=scheme, viewport=_SIZE, reduced_motion="reduce")  # pyright: ignore[reportArgumentType]
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_role("button", name="Approve").first).to_be_visible(timeout=_SECONDS * 1000)
    expect(page.get_by_text(_EARLIER[0]).first).to_be_visible(timeout=_SECONDS * 1000)
    page.screenshot(path=file)
    context.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with _service() as service, sync_playwright() as playwright:
        thread = _talk(service)
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            _picture(
                browser,
                f"{service}/#/t/{thread}",
                scheme,
                folder / f"page-{scheme}.png",
            )
        browser.close()
