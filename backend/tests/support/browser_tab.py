"""What the fixtures of ``tests/browser`` hand to a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page
from tests.support.page_watch import PageWatch

Look = Literal["light", "dark", "phone"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where the service is."""

    url: str
    """Of the page, without a slash at the end."""
    api: str
    """Of the chat API."""
    data: Path
    """The data directory of the embedded service."""


@dataclass(frozen=True, slots=True)
class Tab:
    """A browser context with one page."""

    page: Page
    watch: PageWatch


NewTab = Callable[..., Tab]
"""``new_tab(path="/", **options)``: a page in a fresh context; the options are those of Playwright's contexts."""
