"""Users' connections to MCP servers, as their users see them. No part of a token is in any answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, SecretStr

from core.agentscope.schemas.messages import WireModel
from core.secret_values import check_api_key

MAX_TOKEN_CHARACTERS = 8192
"""Servers refuse longer headers."""


class ConnectionItem(WireModel):
    """A server that sees the caller's own identity."""

    server: str
    """Its name in the profiles of agents."""
    auth: Literal["user-token", "oauth"]
    """How the caller connects: with a token (``PUT``), or with a login (``POST`` to ``/login`` below the server, or when a run asks for it)."""
    state: Literal["connected", "absent", "expired", "refused"]
    """``expired``: the token has ended. ``refused``: the server did not take it. Both: connect anew."""
    connected_at: datetime | None = None
    updated_at: datetime | None = None
    """When the token was last replaced, by the caller or by a refresh."""
    expires_at: datetime | None = None
    """When the caller will have to connect anew, if that is known."""
    agents: list[str]
    """Ids of the caller's agents that use the server."""


class ConnectionListResponse(WireModel):
    """The servers that see the caller's own identity, by name."""

    connections: list[ConnectionItem]

    def wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"connections": [item.wire() for item in self.connections]}


def _token(value: SecretStr) -> SecretStr:
    token = check_api_key(value)
    if not 0 < len(token.get_secret_value()) <= MAX_TOKEN_CHARACTERS:
        raise ValueError(f"must have 1 to {MAX_TOKEN_CHARACTERS} characters")
    return token


def _in_future(value: datetime) -> datetime:
    if value <= datetime.now(UTC):
        raise ValueError("is over already")
    return value


class TokenCommand(WireModel):
    """Body of ``PUT /connections/{server}``."""

    # The text of an error must not have the token.
    model_config = ConfigDict(hide_input_in_errors=True)

    token: Annotated[
        SecretStr,
        AfterValidator(_token),
        Field(description="The token alone, without `Bearer`: 1 to 8192 visible ASCII characters."),
    ]
    expires_at: Annotated[
        Annotated[AwareDatetime, AfterValidator(_in_future)] | None,
        Field(description="When the token ends, if you know: RFC 3339, in the future."),
    ] = None


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    except ValueError:
        usable = False
    if not usable or not value.isascii() or not value.isprintable() or "\\" in value or " " in value:
        raise ValueError("must be an http or https address")
    return value


class LoginCommand(WireModel):
    """Body of ``POST /connections/{server}/login``."""

    return_url: Annotated[
        Annotated[str, AfterValidator(_web_address)] | None,
        Field(max_length=2048, description="Where the browser goes at the end."),
    ] = None


class LoginResponse(WireModel):
    """A login that has begun."""

    url: str
    """What the user opens. Whoever has it can connect an account for this user: show it to the user only."""
