"""The Chromium of the browser tests: the system's, or the one that Playwright installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    # A microphone that beeps. Whether the page may use it is the permission of a context.
    "--use-fake-device-for-media-stream",
    # Nothing but the page under test speaks to anybody.
    "--disable-background-networking",
    "--disable-component-update",
    "--no-default-browser-check",
    # /dev/shm of a container is often too small.
    "--disable-dev-shm-usage",
)


class ChromiumMissingError(Exception):
    """There is no Chromium here; says how to get one."""


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Run a headless Chromium until the end of the context.

    Playwright's synchronous interface runs an event loop of its own in the thread: until the end of the context, no
    other loop can run there.

    Args:
        arguments: Further command-line flags.

    Raises:
        ChromiumMissingError: None is installed.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_program(playwright),
            # Chromium refuses to start its sandbox for root.
            args=[*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else []), *arguments],
        )
        try:
            yield browser
        finally:
            browser.close()


def _program(playwright: Playwright) -> str | None:
    """Return the path of the system's Chromium; None for Playwright's own."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    if Path(playwright.chromium.executable_path).exists():
        return None
    raise ChromiumMissingError(
        "The browser tests need Chromium, and there is none: run script/chromium, or install it (Debian: apt install chromium)."
    )
