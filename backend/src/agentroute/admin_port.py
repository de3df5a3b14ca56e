"""Keeps the routes of operators on a port of their own, which a firewall can close to everybody else.

Rules:

1. On the port of operators there are their routes, the probes, and what a setting has moved there. Everything else
   looks absent.
2. On every other port their routes and what was moved look absent, whatever the credential.
3. The port is that of the socket that took the connection. No header says it.
4. The path is the one that the router compares: below ``root_path``, where the application is mounted under a prefix.
5. A path only decides how things look. The route itself is asked again once it is found (``v1.agent.dependencies``), so
   that no way to write a path opens a route of operators.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from core.config import AdminOnly
from core.errors import NotFound
from core.problem import problem_response
from v1.agent.dependencies import ON_OPERATORS_PORT
from v1.agent.route_access import is_admin_path

_PROBES = frozenset({"/healthz", "/readyz"})
_PLACES: dict[AdminOnly, tuple[str, ...]] = {
    "docs": ("/docs", "/openapi.json"),
    "healthz": ("/healthz",),
    "readyz": ("/readyz",),
}


class AdminPort:
    """Middleware.

    Args:
        app: What answers.
        port: Of operators.
        only: What is on their port and on no other, beside their routes.
    """

    def __init__(self, app: ASGIApp, port: int, only: Iterable[AdminOnly] = ()) -> None:
        self._app = app
        self._port = port
        self._moved = tuple(place for name in only for place in _PLACES[name])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Without an address (a socket of unix, a test): one of the other ports.
        _, port = scope.get("server") or (None, None)
        of_operators = port == self._port
        if not self._is_on(_path_below_root(scope), of_operators=of_operators):
            await problem_response(NotFound(), Request(scope))(scope, receive, send)
            return
        await self._app({**scope, ON_OPERATORS_PORT: of_operators}, receive, send)

    def _is_on(self, path: str, *, of_operators: bool) -> bool:
        if is_admin_path(path) or any(path == place or path.startswith(f"{place}/") for place in self._moved):
            return of_operators
        return path in _PROBES or not of_operators


def _path_below_root(scope: Scope) -> str:
    """Return what the router compares.

    Source: ``get_route_path`` of Starlette. A proxy may have taken the prefix away already.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if path == root or path.startswith(f"{root}/"):
        return path.removeprefix(root)
    return path
