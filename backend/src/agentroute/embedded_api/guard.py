"""Who may use the routes of the embedded mode: a page that this service has delivered to a browser of this machine.

The routes kill processes and take keys, so every condition must hold:

1. The connection comes from a loopback address, and no proxy says that it has passed the request on.
2. ``Host`` is a loopback name. With DNS rebinding, a foreign page asks under its own name.
3. ``Origin``, if there is one, is exactly the origin that ``Host`` names: another server of this machine is foreign.
4. A header that a page of another origin cannot send without asking first (a preflight), which is refused.

To anybody else the routes look absent.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request

from core.errors import Forbidden, NotFound
from core.loopback import LoopbackGuard, is_loopback

PAGE_HEADER = "X-AgentRoute-Page"
_PASSED_ON = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_ABSENT = "There is nothing at this address."
_NO_HEADER = f"Send the header {PAGE_HEADER}: 1. The page sends it; a page of another origin cannot."

_guard = LoopbackGuard()


async def require_own_page(request: Request) -> None:
    """Check a request, as a dependency of the router.

    Raises:
        NotFound: The request does not come from a page of this service on this machine.
    """
    peer = "" if request.client is None else request.client.host
    if not is_loopback(peer) or not _is_from_here(request.headers, request.url.scheme):
        raise NotFound(_ABSENT)
    if request.headers.get(PAGE_HEADER) != "1":
        raise NotFound(_NO_HEADER)


def _is_from_here(headers: Mapping[str, str], scheme: str) -> bool:
    try:
        _guard.check(headers)
    except Forbidden:
        return False
    if any(name in headers for name in _PASSED_ON):
        return False
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    return origin is None or origin.lower() == f"{scheme}://{headers['host']}".lower()
