"""The only HTTP of the login: short requests to addresses that a profile, or the metadata of a server, names.

Rules:

1. https. Plain http only at a host and port for which the operator wrote http.
2. The host's addresses are public, on any port. Host and port that the operator has named (the MCP server's own, and
   ``authorization_server``) may be private: that is the operator's word. What metadata names is a stranger's word, also
   on another port of the same host.
3. Connections go to the addresses that were checked. Redirects are not followed; proxies and cookies play no part.
4. An answer has at most ``MAX_ANSWER_BYTES`` and comes within ``ANSWER_SECONDS``.

No address, header or body is logged: they hold codes and tokens. See docs/adr/0042.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import httpx
import orjson

from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.server import OAuthServer
from core.errors import UrlNotAllowed
from core.pinned_request import NotConnected, send_pinned, system_trust
from core.url_guard import Resolve, UrlGuard, system_resolve

MAX_ANSWER_BYTES = 256 << 10
ANSWER_SECONDS = 10.0
_CONNECT_SECONDS = 3.0
_YOURS = "An authorization server of your own network is named in the profile: authorization_server in [mcp.oauth]."
_NOT_ASKED = "{server} names an address at {host} that may not be asked. " + _YOURS
_HEADERS = {"User-Agent": "AgentRoute", "Accept": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request."""

    status: int
    body: bytes = field(repr=False)
    challenge: str = ""
    """``WWW-Authenticate``."""


class OAuthHttp:
    """Sends the requests of the flow.

    Args:
        resolve: The resolver; tests bring their own.
        trust: Certificate authorities; the system's when absent.
    """

    def __init__(self, *, resolve: Resolve = system_resolve, trust: ssl.SSLContext | None = None) -> None:
        self._resolve: Resolve = resolve
        self._trust = trust

    async def get(self, url: str, server: OAuthServer) -> Answer:
        """Ask for metadata.

        Raises:
            OAuthFailed: The address is not allowed, or does not answer.
        """
        return await self._send("GET", url, server, {}, None)

    async def post_form(
        self, url: str, server: OAuthServer, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a form. Raises as :meth:`get`."""
        sent = {**(headers or {}), "Content-Type": "application/x-www-form-urlencoded"}
        return await self._send("POST", url, server, sent, urlencode(form).encode())

    async def post_json(
        self,
        url: str,
        server: OAuthServer,
        members: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send JSON. Raises as :meth:`get`."""
        sent = {**(headers or {}), "Content-Type": "application/json"}
        return await self._send("POST", url, server, sent, orjson.dumps(members))

    async def _send(
        self, method: str, url: str, server: OAuthServer, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        check_scheme(url, server)
        host = urlsplit(url).netloc.rpartition("@")[2][:260]
        # Not chained: the messages of the HTTP library hold the address, and bodies may follow.
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._sent(method, url, server, {**_HEADERS, **headers}, content)
        except UrlNotAllowed:
            raise OAuthFailed("unusable", _NOT_ASKED.format(server=server.name, host=host)) from None
        except (NotConnected, httpx.HTTPError, TimeoutError, OSError) as exc:
            why = "does not answer in time" if isinstance(exc, TimeoutError) else "cannot be reached"
            raise OAuthFailed("unreachable", f"{host} {why}.") from None

    async def _sent(
        self, method: str, url: str, server: OAuthServer, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        try:
            guard = UrlGuard(server.places, self._resolve, any_port=True)
        except ValueError:
            # The profile is checked at the start; whatever passes there is not an error of ours here.
            raise OAuthFailed("unusable", f"The address of {server.name} has a host that is none.") from None
        target = await guard.check(url)
        trust = self._trust or await asyncio.to_thread(system_trust)
        async with httpx.AsyncClient(
            verify=trust,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
        ) as client:
            response = await send_pinned(client, method, target, headers=headers, content=content)
            try:
                return Answer(
                    response.status_code, await _body(response), response.headers.get("www-authenticate", "")
                )
            finally:
                await response.aclose()


async def _body(response: httpx.Response) -> bytes:
    if "text/event-stream" in response.headers.get("content-type", ""):
        return b""  # an MCP server that needs no login has begun to answer
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise OAuthFailed("unusable", f"The answer of {response.url.host} is too large.")
    return bytes(body)


def check_scheme(url: str, server: OAuthServer) -> None:
    """Check that an address may be asked, or opened in the user's browser, as far as its scheme goes.

    Raises:
        OAuthFailed: It is neither https, nor http at a host and port for which the operator wrote http.
    """
    try:
        parts = urlsplit(url)
        allowed = parts.scheme == "https" or (parts.scheme == "http" and server.allows_plain(url))
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise OAuthFailed("unusable", f"{server.name} names an address that is none.") from None
    if not host or not allowed:
        raise OAuthFailed("unusable", f"{server.name} names an address that is not https. {_YOURS}")
