"""A user's own identity at one MCP server: the port between the sessions of a worker and whatever keeps the tokens.

One implementation for each ``auth`` of a profile. Each is made for one server, at one address, and serves all users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

from core.identity import Principal

UserAuth = Literal["user-token", "oauth"]
"""``user-token``: the user has given a token of its own. ``oauth``: the user has logged in at the server."""


class ConnectionRequired(Exception):
    """The user has no usable identity at a server. Nothing was sent to the server.

    Args:
        server: Its name in the profile.
        auth: How the user can connect.
        url: What the user opens for it, if that is known already; see ``UserAccess.login_url``.
        detail: One sentence for the user, without any part of a token.
    """

    def __init__(self, server: str, auth: UserAuth, url: str | None = None, detail: str = "") -> None:
        super().__init__(detail or f"{server} needs the user's own login")
        self.server = server
        self.auth: UserAuth = auth
        self.url = url
        self.detail = detail


class UserAccess(Protocol):
    """The identities of all users at one server."""

    async def headers(self, principal: Principal) -> dict[str, str]:
        """Return the headers that show who asks, for the next request.

        Asked for each request, and once when a run begins: so it is cheap, and begins no login.

        Raises:
            ConnectionRequired: Only the user can help.
            StoreUnavailable: It is not known now.
        """
        ...

    async def login_url(self, principal: Principal) -> str | None:
        """Begin a login and return the address that the user opens; ``None`` where there is none.

        Asked once for each interrupt, after ``headers`` has raised or the server has refused a request.
        """
        ...

    async def refused(self, principal: Principal, sent: Mapping[str, str], challenge: str = "") -> None:
        """Take in that the server answered 401, or 403 because the identity allows too little.

        What follows is for the implementation to say: ``headers`` may return others, raise, or return the same.

        If the user has connected anew meanwhile, nothing changes.

        Args:
            principal: Who asked.
            sent: What ``headers`` had returned.
            challenge: The answer's ``WWW-Authenticate``; empty without one.

        Raises:
            ConnectionRequired: ``headers`` stay good, but not for this request: the user has to grant more.
        """
        ...


def token_headers(header: str, scheme: str, token: str) -> dict[str, str]:
    """Return the header that carries a token: the scheme before it, unless the server wants the bare token."""
    return {header: f"{scheme} {token}" if scheme else token}


def secrets_in(headers: Mapping[str, str]) -> Iterable[str]:
    """Yield what must be shown to nobody of a user's headers: each value, and the token without its scheme."""
    for value in headers.values():
        yield value
        yield value.rpartition(" ")[2]
