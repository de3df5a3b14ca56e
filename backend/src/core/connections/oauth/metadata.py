"""The metadata of MCP servers and of authorization servers: where it is, what it says, and whether it may be believed.

No I/O. The models of the MCP library say the same, but the library costs the API process 0.4 s and 360 modules.
"""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.server import OAuthServer
from core.connections.resource import resource_of

M = TypeVar("M", bound="_Metadata")
MOST_SCOPES = 100
"""That are asked for. More than any real server has; a list without an end would be stored and sent each time."""
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")
"""Source: RFC 6749, section 3.3."""


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class ProtectedResource(_Metadata):
    """What a protected MCP server says about itself. Source: RFC 9728, section 2."""

    resource: str
    authorization_servers: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] | None = None


class AuthorizationServer(_Metadata):
    """What an authorization server says about itself. Source: RFC 8414, section 2; OpenID Connect Discovery 1.0."""

    # It is stored as it is: nothing that `urlsplit` would overlook and Postgres would refuse.
    issuer: str = Field(pattern=r"^[^\x00-\x20\x7f]{1,2048}$")
    authorization_endpoint: str = Field(min_length=1)
    token_endpoint: str = Field(min_length=1)
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    scopes_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    code_challenge_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool = False


def parsed(model: type[M], body: bytes) -> M | None:
    """Return the metadata in a body; ``None`` if it is something else, such as a page for people."""
    try:
        return model.model_validate_json(body)
    except ValidationError:
        return None


def resource_metadata_urls(server: OAuthServer, named: str) -> list[str]:
    """Return where the metadata of an MCP server may be, in order.

    Args:
        server: The server.
        named: What its challenge names; empty if nothing.

    Source: RFC 9728, section 3.1; MCP 2025-11-25, authorization server discovery.
    """
    origin, path = _origin_and_path(server.url)
    known = [f"{origin}/.well-known/oauth-protected-resource{path}"] if path else []
    return [*([named] if named else []), *known, f"{origin}/.well-known/oauth-protected-resource"]


def issuer_metadata_urls(issuer: str) -> list[str]:
    """Return where the metadata of an authorization server may be, in order.

    Source: RFC 8414, sections 3.1 and 5; OpenID Connect Discovery 1.0, section 4.
    """
    origin, path = _origin_and_path(issuer)
    oauth, openid = ".well-known/oauth-authorization-server", ".well-known/openid-configuration"
    if not path:
        return [f"{origin}/{oauth}", f"{origin}/{openid}"]
    return [f"{origin}/{oauth}{path}", f"{origin}/{openid}{path}", f"{origin}{path}/{openid}"]


def checked_resource(found: ProtectedResource, server: OAuthServer) -> str:
    """Return the resource that tokens are asked for.

    A server may be one of several below one resource, as the MCP library takes it; it never speaks for another place.

    Raises:
        OAuthFailed: The metadata is about something else. Source: RFC 9728, section 3.3.
    """
    try:
        own, named = server.resource, resource_of(found.resource)
    except ValueError:
        raise OAuthFailed(
            "unusable", f"The metadata of {server.name} is about an address that is none."
        ) from None
    if own == named or own.startswith(f"{named}/"):
        return found.resource
    raise OAuthFailed("unusable", f"The metadata of {server.name} is about another address.")


def check_authorization_server(found: AuthorizationServer, issuer: str, server: OAuthServer) -> None:
    """Check that metadata is the issuer's own and allows a login that nobody else can take over.

    Args:
        found: The metadata.
        issuer: For whom it was asked.
        server: If the profile names the issuer, metadata that does not mention PKCE is enough: several providers leave
            it out although they have it, and the operator knows the provider.

    Raises:
        OAuthFailed: It is another's (RFC 8414, section 3.3), or there is no PKCE (MCP, authorization code protection).
    """
    if found.issuer.rstrip("/") != issuer.rstrip("/"):
        raise OAuthFailed(
            "unusable", f"The metadata of the authorization server of {server.name} is another's."
        )
    methods = found.code_challenge_methods_supported
    if methods is None and server.authorization_server:
        return
    if "S256" not in (methods or ()):
        raise OAuthFailed(
            "unusable", f"The authorization server of {server.name} does not offer PKCE with S256."
        )


def wanted_scopes(
    server: OAuthServer, challenged: str, resource: ProtectedResource | None, found: AuthorizationServer
) -> tuple[str, ...]:
    """Return what to ask for, in the order of MCP's scope selection strategy; empty: the server decides.

    Args:
        server: Its profile goes before everything; what a challenge asks for is added.
        challenged: The scope of a challenge.
        resource: The server's metadata.
        found: The authorization server's metadata.
    """
    if server.scopes is not None:
        return _usable((*server.scopes, *challenged.split()))
    scopes = tuple(challenged.split()) or (resource.scopes_supported if resource else None) or ()
    if "offline_access" in found.scopes_supported and "offline_access" not in scopes:
        # Without it, OpenID providers give no refresh token, and the user would log in every hour.
        return (*_usable(scopes)[: MOST_SCOPES - 1], "offline_access")
    return _usable(scopes)


def _usable(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(_SCOPE.fullmatch, scopes)))[:MOST_SCOPES]


def _origin_and_path(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path.rstrip("/")
