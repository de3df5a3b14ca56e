"""Keeps the routes of operators on a port of their own, which a firewall can close to everybody else.

Rules:

1. On the port of operators there are their routes and the probes. Everything else looks absent.
2. On every other port their routes look absent, whatever the credential.
3. The port is that of the socket that took the connection. No header says it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import NotFound
from core.problem import problem_response
from v1.agent.route_access import is_admin_path

_PROBES = frozenset({"/healthz", "/readyz"})


class AdminPort:
    """Middleware.

    Args:
        app: What answers.
        port: Of operators.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _PROBES:
            # Without an address (a socket of unix, a test): one of the other ports.
            _, port = scope.get("server") or (None, None)
            if (port == self._port) != is_admin_path(scope["path"]):
                await problem_response(NotFound(), Request(scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)
