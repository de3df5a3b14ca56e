"""Where an MCP server is and how it is spoken to: plain data, with every secret already in place.

Two servers of different profiles that are equal here share one connection of a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.agentscope.tools.mcp.user_access import UserAuth
from core.connections.oauth.server import OAuthServer

Transport = Literal["http", "sse", "stdio"]
"""``http`` is MCP's streamable HTTP; ``sse`` is the transport before it."""


@dataclass(frozen=True, slots=True)
class OAuthOptions:
    """A login as the profile describes it; see :class:`core.connections.oauth.server.OAuthServer`."""

    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] | None = None
    authorization_server: str | None = None


@dataclass(frozen=True, slots=True)
class McpEndpoint:
    """One server. Values may be secrets: never log or show the whole object."""

    transport: Transport
    url: str = ""
    """Of ``http`` and ``sse``."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request."""
    command: tuple[str, ...] = ()
    """Of ``stdio``: program and arguments."""
    env: tuple[tuple[str, str], ...] = ()
    """The environment of the program, beside the few variables that every program needs."""
    cwd: str | None = None
    timeout_seconds: float = 30.0
    """Of one call, and of one attempt to connect."""
    secrets: tuple[str, ...] = ()
    """Values that were put in for variables. A result that repeats one is masked."""
    auth: UserAuth | None = None
    """Whose identity the server sees: the user's own, or, without it, the application's."""
    oauth: OAuthOptions | None = None
    """Of ``auth = "oauth"``: what the profile says about the login beside the address."""
    carrier: tuple[str, str] = ("Authorization", "Bearer")
    """The header that carries the user's own token, and the scheme before the token; empty for the bare token."""

    def __repr__(self) -> str:
        return f"McpEndpoint({self.transport})"

    def oauth_server(self, name: str) -> OAuthServer | None:
        """Return the server as one at which users log in; ``None`` if they do not.

        Args:
            name: Of the server in the profile.
        """
        if self.auth != "oauth":
            return None
        given = self.oauth or OAuthOptions()
        return OAuthServer(
            name, self.url, given.client_id, given.client_secret, given.scopes, given.authorization_server
        )

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment as a mapping."""
        return dict(self.env)
