"""ASGI middleware: an address with a control character is none of ours.

Rules:

1. A path with one names nothing: 404, as anything that is absent. No id has one. The patterns of the routes, which end
   in ``$``, would take a line feed at the end for nothing, so that a path could be a route for the router and none for
   whoever compares it.
2. A parameter of the query may have line breaks, but no NUL: 422. Postgres cannot store or compare it.

Here, so that no route and no parameter can forget it.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import AgentBackendError, InvalidRequest, NotFound
from core.problem import problem_response
from core.validation import escape, from_errors

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class PlainAddress:
    """Refuses such addresses before anything compares them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := _refusal(scope["path"], scope["query_string"])):
            await problem_response(refusal, Request(scope))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _refusal(path: str, query: bytes) -> AgentBackendError | None:
    if _CONTROL.search(path):
        return NotFound()
    if b"%00" not in query and b"\0" not in query:
        return None
    return _no_nul(query)


def _no_nul(query: bytes) -> InvalidRequest | None:
    values = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    names = dict.fromkeys(name for name, value in values if "\0" in name + value)
    found = [
        {
            "pointer": "/query" if "\0" in name else f"/query/{escape(name)}",
            "message": "must not have the character U+0000",
        }
        for name in names
    ]
    return from_errors(found) if found else None
