"""One GET of an untrusted URL: the guard checks every hop, and every connection goes to a checked address."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from core.agentscope.tools.blocking import run_in_thread
from core.agentscope.tools.errors import ToolError
from core.errors import UrlNotAllowed
from core.pinned_request import NotConnected, send_pinned, system_trust
from core.url_guard import AllowedUrl, UrlGuard

MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONNECT_SECONDS = 3.0  # per address: a host without working IPv6 must leave time for its IPv4
_HEADERS = {
    "User-Agent": "AgentRoute/fetch_url",
    "Accept": "text/html, text/plain, application/json, text/*;q=0.8, */*;q=0.1",
    "Accept-Encoding": "identity",
}


@asynccontextmanager
async def open_url(
    url: str, guard: UrlGuard, *, trust: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[httpx.Response, AllowedUrl]]:
    """GET a URL and follow at most three redirects; give the answer with its body unread.

    Proxies, netrc and cookies play no part. Times are not bounded here, except
    for connecting: the caller has one deadline for everything.

    Raises:
        UrlNotAllowed: The URL, or one it redirects to, did not pass the guard.
        ToolError: No connection, or more redirects.
        httpx.HTTPError: The exchange broke off.
    """
    target = await guard.check(url)
    authorities = trust or await run_in_thread(system_trust)
    for _ in range(MAX_REDIRECTS + 1):
        # A client per hop: kept connections would be shared between names on one address, and cookies too.
        async with httpx.AsyncClient(
            verify=authorities,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
        ) as client:
            response = await _send(client, target)
            try:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or not location:
                    yield response, target
                    return
                target = await guard.check(_join(target.url, location))
            finally:
                await response.aclose()
    raise ToolError(f"The URL redirects more than {MAX_REDIRECTS} times.")


async def _send(client: httpx.AsyncClient, target: AllowedUrl) -> httpx.Response:
    try:
        return await send_pinned(client, "GET", target, headers=_HEADERS)
    except NotConnected as exc:
        raise ToolError("The server could not be connected to, or its certificate is not valid.") from exc


def _join(base: httpx.URL, location: str) -> httpx.URL:
    try:
        return base.join(location)
    except (httpx.InvalidURL, ValueError) as exc:
        raise UrlNotAllowed("The URL redirects to something that is not a valid URL.") from exc
