"""ASGI middleware around every request: its id, the headers of every answer, one log line.

Plain ASGI: Starlette's ``BaseHTTPMiddleware`` would put a queue between a stream
and its client.
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.agentscope.schemas.links import APPROVALS_PATH, CONNECTIONS_PATH
from core.log import request_id
from v1.agent.parking import parking_of
from v1.agent.rate_checks import told_rates

log = structlog.get_logger(__name__)
# The address of a login is a secret: whoever opens it connects an account. So is that of an approval.
_SECRET_PATH = re.compile(rf"({re.escape(CONNECTIONS_PATH)}/login/|{re.escape(APPROVALS_PATH)}/).+")
_PROBES = frozenset({"/healthz", "/readyz"})


class HttpContext:
    """Must be the outermost middleware, so that error responses of the other middleware have an id too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        status = 0
        # Here: a middleware inside may copy the scope, but not what is in it.
        state: dict[str, Any] = scope.setdefault("state", {})

        with request_id(Headers(scope=scope).get("x-request-id")) as current:

            async def with_headers(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    headers = MutableHeaders(raw=message["headers"])
                    _complete(headers, current, personal=_is_personal(scope))
                    headers.update(told_rates(state))
                await send(message)

            try:
                await self._app(scope, receive, with_headers)
            finally:
                note = partial(_log, scope["method"], scope["path"], status, started_at)
                parking = parking_of(scope)
                # A parked answer calls back in the context of its request: the line has the fields, and the real duration.
                if parking is None or not parking.at_end(note):
                    note()


def _log(method: str, path: str, status: int, started_at: float) -> None:
    # The path without its query: the log contains only what is necessary.
    log.log(
        10 if path in _PROBES else 20,
        "request",
        method=method,
        path=_SECRET_PATH.sub(r"\1[redacted]", path),
        status=status,
        duration_ms=round((time.perf_counter() - started_at) * 1000, 1),
    )


SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Answers are data. A page of ours (/docs) brings a policy of its own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # Without it, a foreign page may load answers as an image or a script. CORS requests are not affected.
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _complete(headers: MutableHeaders, current: str, *, personal: bool) -> None:
    headers["X-Request-Id"] = current
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    if personal or "json" in headers.get("content-type", ""):
        headers.setdefault("Cache-Control", "no-store")


def _is_personal(scope: Scope) -> bool:
    """Return whether an answer may be about its caller: that of every route but the probes, the docs and the page."""
    return scope["method"] != "OPTIONS" and "/api/" in scope["path"]
