"""Dynamic client registration: this service makes itself known to an authorization server. Source: RFC 7591."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.connections.oauth.discovery import LoginPlace
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grants import ClientAuth, OAuthClient, client_auth, raise_error
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.server import OAuthServer

_WAYS: tuple[ClientAuth, ...] = ("none", "client_secret_post", "client_secret_basic")
"""How we would show ourselves. A secret in the form means the same everywhere; servers disagree on how one in the header is
encoded, and those of the MCP library 1.x cannot revoke with it."""
_NOT_OFFERED = (
    "The authorization server of {server} lets nobody register: register this service there by hand, and set client_id and "
    "authorization_server in [mcp.oauth]."
)
_LAST_SECOND = 4_102_444_800.0
"""The end of this century: some servers write "never" as a number that no calendar has."""


class _Registered(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)

    # RFC 6749, appendix A: visible characters. Others could be neither stored nor sent.
    client_id: str = Field(pattern=r"^[\x20-\x7e]{1,2048}$")
    client_secret: str | None = Field(default=None, pattern=r"^[\x20-\x7e]{0,4096}$")
    client_secret_expires_at: float | None = 0
    token_endpoint_auth_method: str | None = None


def given_client(server: OAuthServer, place: LoginPlace) -> OAuthClient | None:
    """Return the client that the profile names; ``None`` if this service has to register itself.

    Raises:
        OAuthFailed: The place is not the one at which that client is registered: its secret is not shown there.
    """
    if server.client_id is None:
        return None
    if not server.is_given_client(server.client_id, place.authorization_server.issuer):
        raise OAuthFailed(
            "unusable", f"The client_id of {server.name} belongs to another authorization server."
        )
    methods = place.authorization_server.token_endpoint_auth_methods_supported
    has_secret = server.client_secret is not None
    return OAuthClient(server.client_id, server.client_secret, client_auth(methods, has_secret=has_secret))


async def register(
    http: OAuthHttp, server: OAuthServer, place: LoginPlace, *, name: str, redirect_uri: str
) -> tuple[OAuthClient, datetime | None]:
    """Register this service.

    Args:
        http: Sends the request.
        server: The MCP server.
        place: Where its users log in.
        name: What users see when they are asked for their consent.
        redirect_uri: Where browsers come back to.

    Returns:
        The client, and when its secret ends.

    Raises:
        OAuthFailed: Registration is off there, or was refused.
    """
    found = place.authorization_server
    if not found.registration_endpoint:
        raise OAuthFailed("unusable", _NOT_OFFERED.format(server=server.name))
    methods = found.token_endpoint_auth_methods_supported
    wanted = next((way for way in _WAYS if way in methods), "client_secret_basic")
    members: dict[str, object] = {
        "client_name": name,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": wanted,
    }
    if place.scopes:
        members["scope"] = " ".join(place.scopes)
    answer = await http.post_json(found.registration_endpoint, server, members)
    raise_error(answer.status, answer.body)
    try:
        registered = _Registered.model_validate_json(answer.body)
    except ValidationError:
        raise OAuthFailed("unusable", "The authorization server's registration cannot be read.") from None
    secret = registered.client_secret or None
    auth = _auth(registered.token_endpoint_auth_method or wanted, methods, has_secret=secret is not None)
    return OAuthClient(registered.client_id, secret, auth), _end(registered.client_secret_expires_at or 0)


def _end(seconds: float) -> datetime | None:
    if not math.isfinite(seconds) or not 0 < seconds < _LAST_SECOND:
        return None  # 0 is the standard's "never"
    return datetime.fromtimestamp(seconds, UTC)


def _auth(method: str, methods: tuple[str, ...], *, has_secret: bool) -> ClientAuth:
    if method in ("none", "client_secret_basic", "client_secret_post") and (has_secret or method == "none"):
        return method
    return client_auth(methods, has_secret=has_secret)
