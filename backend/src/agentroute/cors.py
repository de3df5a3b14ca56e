"""CORS: which web pages may call the API from a browser.

An allowed page may send every header: which headers a client adds (``cache-control``, ``traceparent``) is not a
question of trust. A page that is not allowed is told how to be: browsers show the answer of a preflight to developers.
"""

from __future__ import annotations

from collections.abc import Collection

import structlog
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import AgentBackendError, Forbidden, MethodNotAllowed
from core.loopback import is_loopback_origin
from core.origins import Origins
from core.problem import problem_response

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SHOWN_HEADERS = (
    "Accept-Ranges",
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)
"""Headers of answers that a page may read, besides those that Fetch lets every page read (``Content-Type``, …)."""
_MAX_SHOWN = 100
"""Characters of an origin that are repeated in an answer and in the log."""

_NOT_ALLOWED = (
    "Pages of the origin {origin} may not call this service. The operator can allow them with "
    "AGENT_SERVER__CORS_ORIGINS='[\"{origin}\"]' and a restart of the API."
)
_NO_ORIGIN = (
    "A sandboxed frame or a local file has no origin that could be allowed. Serve the page over HTTP, and name its origin "
    "in AGENT_SERVER__CORS_ORIGINS."
)

log = structlog.get_logger(__name__)


class Cors(CORSMiddleware):
    """Starlette's middleware, with refusals that say what to do."""

    def __init__(self, app: ASGIApp, *, origins: Collection[str], loopback: bool) -> None:
        """Set the rules.

        Args:
            app: The application.
            origins: Origins that may call, as ``core.origins.read_origin`` returns them.
            loopback: Origins of this machine may call as well, on any port.
        """
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=["*"],
            # A page of the internet may call a service in a private network if its origin is allowed.
            allow_private_network=True,
            expose_headers=_SHOWN_HEADERS,
        )
        self._origins = Origins(origins)
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "origin" in headers and (method := headers.get("access-control-request-method")) is not None:
                refusal = self._refusal(headers["origin"], method)
                if refusal is not None:
                    await problem_response(refusal, Request(scope))(scope, receive, send)
                    return
        await super().__call__(scope, receive, send)

    def is_allowed_origin(self, origin: str) -> bool:
        return (
            super().is_allowed_origin(origin)
            or self._origins.allow(origin)
            or (self._loopback and is_loopback_origin(origin))
        )

    def _refusal(self, origin: str, method: str) -> AgentBackendError | None:
        if self.is_allowed_origin(origin):
            return (
                None if method in _METHODS else MethodNotAllowed(f"Web pages may use {', '.join(_METHODS)}.")
            )
        shown = origin[:_MAX_SHOWN]
        log.info("cors_origin_refused", origin=shown, setting="AGENT_SERVER__CORS_ORIGINS")
        return Forbidden((_NO_ORIGIN if shown == "null" else _NOT_ALLOWED).format(origin=shown))
