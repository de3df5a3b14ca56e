"""What routes share whose answers are pages for browsers: their description, and the page of an outage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec

import structlog
from fastapi import Response

from core import errors
from core.problem import passing
from v1.agent.openapi import problems

log = structlog.get_logger(__name__)

_PAGE = {"text/html": {"schema": {"type": "string"}, "example": "<!doctype html>..."}}
AWAY_PAGE = {503: "A page that says so: the service is not available"}

P = ParamSpec("P")


def pages(
    shown: Mapping[int, str], *kinds: type[errors.AgentBackendError]
) -> dict[int | str, dict[str, Any]]:
    """Describe the answers of a route for browsers: pages, by status, and the problem documents beside them."""
    described = problems(*kinds)
    for status, words in shown.items():
        other = described.get(status, {"description": "", "content": {}})
        told = "; ".join(filter(None, (words, other["description"])))
        described[status] = {"description": told, "content": _PAGE | other["content"]}
    return described


def outage_as_page(
    page: Callable[[errors.AgentBackendError], Response],
) -> Callable[[Callable[P, Awaitable[Response]]], Callable[P, Awaitable[Response]]]:
    """Show a browser words, not the problem document of an outage that will pass.

    Args:
        page: Makes the page.
    """

    def wrapped(route: Callable[P, Awaitable[Response]]) -> Callable[P, Awaitable[Response]]:
        @wraps(route)
        async def answered(*args: P.args, **kwargs: P.kwargs) -> Response:
            try:
                return await route(*args, **kwargs)
            except Exception as exc:
                error = exc if isinstance(exc, errors.StoreUnavailable) else passing(exc)
                if error is None:
                    raise
                log.warning("page_failed", code=error.code, error=type(exc).__name__)
                shown = page(error)
                shown.headers["Retry-After"] = "10"
                return shown

        return answered

    return wrapped
