"""Finds out where the users of an MCP server log in, beginning with the server's own address.

Source: MCP 2025-11-25, authorization; RFC 9728; RFC 8414; OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from core.connections.oauth.challenge import bearer_challenge
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.http_edge import OAuthHttp, check_scheme
from core.connections.oauth.metadata import (
    AuthorizationServer,
    M,
    ProtectedResource,
    check_authorization_server,
    checked_resource,
    issuer_metadata_urls,
    parsed,
    resource_metadata_urls,
    wanted_scopes,
)
from core.connections.oauth.server import OAuthServer

_PROTOCOL = "2025-11-25"
_KNOCK = {
    # What every session begins with. It is sent without a token, to read the refusal.
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": _PROTOCOL,
        "capabilities": {},
        "clientInfo": {"name": "agentroute", "version": "0"},
    },
}


@dataclass(frozen=True, slots=True)
class LoginPlace:
    """Where and for what a user logs in."""

    authorization_server: AuthorizationServer
    resource: str
    """What tokens are asked for (RFC 8707)."""
    scopes: tuple[str, ...]


async def discover(http: OAuthHttp, server: OAuthServer, *, scope: str = "") -> LoginPlace:
    """Return where the users of a server log in.

    Args:
        http: Sends the requests.
        server: The MCP server.
        scope: What a refused request needed, separated by spaces; empty if nothing is known.

    Raises:
        OAuthFailed: Nobody answers, or what the answers say does not allow a login.
    """
    challenge = bearer_challenge(await _knock(http, server))
    protected = await _first(
        http, server, ProtectedResource, resource_metadata_urls(server, challenge.resource_metadata)
    )
    resource = server.resource if protected is None else checked_resource(protected, server)
    failed: OAuthFailed | None = None
    for issuer in _issuers(server, protected):
        try:
            found = await _authorization_server(http, server, issuer)
        except OAuthFailed as exc:
            failed = failed or exc
            continue
        scopes = wanted_scopes(server, scope or challenge.scope, protected, found)
        return LoginPlace(found, resource, scopes)
    raise failed or OAuthFailed("unusable", f"{server.name} names no authorization server.")


async def _knock(http: OAuthHttp, server: OAuthServer) -> str:
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": _PROTOCOL}
    return (await http.post_json(server.url, server, _KNOCK, headers)).challenge


def _issuers(server: OAuthServer, protected: ProtectedResource | None) -> tuple[str, ...]:
    if server.authorization_server:
        return (server.authorization_server,)
    if protected is not None and protected.authorization_servers:
        return protected.authorization_servers
    # Servers of MCP 2025-03-26 are their own authorization servers, and have no metadata about themselves.
    parts = urlsplit(server.url)
    return (f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",)


async def _authorization_server(http: OAuthHttp, server: OAuthServer, issuer: str) -> AuthorizationServer:
    # Before its parts are put together anew: it may be no address at all.
    check_scheme(issuer, server)
    found = await _first(http, server, AuthorizationServer, issuer_metadata_urls(issuer))
    if found is None:
        raise OAuthFailed("unusable", f"The authorization server of {server.name} has no metadata.")
    check_authorization_server(found, issuer, server)
    # Opened by the user's browser: javascript: and the like must not come this far.
    check_scheme(found.authorization_endpoint, server)
    return found


async def _first(http: OAuthHttp, server: OAuthServer, model: type[M], urls: list[str]) -> M | None:
    """Return the first metadata that is there.

    Raises:
        OAuthFailed: A place cannot be asked now: what a later one says may be about something else.
    """
    for url in dict.fromkeys(urls):
        answer = await http.get(url, server)
        if answer.status >= 500:
            host = urlsplit(url).hostname
            raise OAuthFailed("unreachable", f"{host} answered with HTTP {answer.status}.")
        if answer.status == 200 and (found := parsed(model, answer.body)) is not None:
            return found
    return None
