"""The token of each request."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

import httpx

Token = str | Callable[[], str]
AsyncToken = Token | Callable[[], Awaitable[str]]
"""A token, or what returns the present one. It is asked for each request, and again after a 401."""


class BearerAuth(httpx.Auth):
    """Puts a token on requests. After a 401 it asks once more, in case that the token has just ended."""

    def __init__(self, token: AsyncToken | None) -> None:
        self._token = token

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with the token, and once again with another one."""
        first = _plain(self._ask())
        response = yield _with(request, first)
        if response.status_code == 401 and callable(self._token):
            second = _plain(self._ask())
            if second != first:
                yield _with(request, second)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request with the token, and once again with another one."""
        first = await _value(self._ask())
        response = yield _with(request, first)
        if response.status_code == 401 and callable(self._token):
            second = await _value(self._ask())
            if second != first:
                yield _with(request, second)

    def _ask(self) -> str | Awaitable[str] | None:
        return self._token() if callable(self._token) else self._token


def _plain(token: str | Awaitable[str] | None) -> str | None:
    if inspect.isawaitable(token):
        raise TypeError(
            "AgentRouteClient needs a function that returns the token; AsyncAgentRouteClient awaits one"
        )
    return token


async def _value(token: str | Awaitable[str] | None) -> str | None:
    return await token if inspect.isawaitable(token) else token


def _with(request: httpx.Request, token: str | None) -> httpx.Request:
    if token is not None:
        request.headers["Authorization"] = f"Bearer {token}"
    return request
