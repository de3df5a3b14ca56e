"""What a page must never do: log an error, break its own policy, or speak to another host."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, WebError

_POLICY = "Content Security Policy"
_INSIDE = ("data", "blob", "about")
"""Schemes that reach no host."""


class PageWatch:
    """Collects the complaints about all pages of a browser context."""

    def __init__(self, context: BrowserContext, host: str) -> None:
        """Begin to watch; ``host`` is the service's own, with its port."""
        self._host = host
        self._allowed: list[re.Pattern[str]] = []
        self._complaints: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)

    def allow(self, pattern: str) -> None:
        """Expect console errors that match, such as ``status of 422``. A breach of the policy is never allowed."""
        self._allowed.append(re.compile(pattern))

    def complaints(self) -> list[str]:
        """Return what was seen and is not allowed, in the order of time."""
        return [text for text in self._complaints if _POLICY in text or not self._is_allowed(text)]

    def _is_allowed(self, text: str) -> bool:
        return any(pattern.search(text) for pattern in self._allowed)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" or _POLICY in message.text:
            self._complaints.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _on_error(self, error: WebError) -> None:
        self._complaints.append(f"uncaught: {error.error.stack or error.error}")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in _INSIDE and address.netloc != self._host:
            self._complaints.append(f"request to another host: {request.method} {request.url}")
