"""An MCP server whose users log in: what its operator and the profile say about it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from core.connections.resource import resource_of


@dataclass(frozen=True, slots=True)
class OAuthServer:
    """One server of a profile with ``auth = "oauth"``."""

    name: str
    """In the profile."""
    url: str = field(repr=False)
    """Where the server is."""
    client_id: str | None = None
    """Of a client that somebody has registered by hand at ``authorization_server``, and nowhere else; ``None``: this service
    registers itself."""
    client_secret: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] | None = None
    """What to ask for; ``None``: what the server says that it needs."""
    authorization_server: str | None = None
    """Its issuer, if the profile names it; ``None``: what the server's metadata says."""

    @property
    def resource(self) -> str:
        """What tokens are bound to: the origin and the path of the url."""
        return resource_of(self.url)

    def is_given_client(self, client_id: str, issuer: str) -> bool:
        """Return whether this is the operator's own client: of this id, at the issuer that the profile names."""
        named = self.authorization_server
        return client_id == self.client_id and named is not None and issuer.rstrip("/") == named.rstrip("/")

    @property
    def places(self) -> frozenset[str]:
        """The addresses that the operator has named, as ``host:port``: they may be private."""
        return frozenset(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for _, host, port in self._named()
        )

    def allows_plain(self, url: str) -> bool:
        """Return whether ``url`` may be http: only at a host and port for which the operator wrote http.

        Raises:
            ValueError: It is no address.
        """
        return _place(url) in self._named() and _place(url)[0] == "http"

    def _named(self) -> list[tuple[str, str, int]]:
        return [_place(url) for url in (self.url, self.authorization_server) if url]


def _place(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").removesuffix("."),
        parts.port or (80 if parts.scheme == "http" else 443),
    )
