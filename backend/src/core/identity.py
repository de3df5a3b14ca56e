"""The principal: the pair (tenant, user) from which a request comes and to which threads and runs belong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from core.config import IdentitySettings, ServerSettings
from core.errors import ConfigurationError, Unauthenticated
from core.loopback import LoopbackGuard, is_loopback, refuse_origins_of_anybody
from core.scopes import ALL_SCOPES, USER_SCOPES, Role

if TYPE_CHECKING:
    from core.bearer_token import TokenVerifier

_EXPOSED = (
    "AGENT_IDENTITY__MODE=local does not authenticate, and {host} is reachable from other machines: "
    "set AGENT_SERVER__HOST=127.0.0.1 or AGENT_IDENTITY__MODE=jwt."
)

CredentialKind = Literal["local", "token", "key", "ticket"]
"""``local``: none, in local mode. ``token``: a JSON Web Token. ``key``: an API key. ``ticket``: opens one stream."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The pair (tenant, user) of a request. Data of other principals looks absent.

    Only the pair says who somebody is, and is compared. The rest says by what right the request comes.
    """

    tenant_id: str
    user_id: str
    valid_until: float | None = field(default=None, compare=False)
    """Unix time at which the credential of the request ends; ``None``: never. Not a part of who somebody is."""
    claims: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """What the token of the request says, after all checks; ``None`` where there is no request or no token."""
    kept_claims: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """Those of the claims that ``AGENT_IDENTITY__CLAIMS`` names: they are stored with a run, for the factory of its agent."""
    trusted: bool = field(default=False, compare=False)
    """The one user of local mode, who may use every agent. No token makes a caller trusted."""
    scopes: frozenset[str] = field(default=USER_SCOPES, compare=False)
    """What the credential permits (``core.scopes``). A credential that says nothing permits what a user may do."""
    groups: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """The groups of the caller, for ``access = ["group:..."]`` of a profile."""
    kind: CredentialKind = field(default="token", compare=False)
    credential_id: str | None = field(default=None, compare=False)
    """Names the credential, and is no secret: the claim ``jti`` of a token, the id of a key."""

    @property
    def role(self) -> Role:
        """Who the caller is, for the table of the routes."""
        if "admin" in self.scopes:
            return "admin"
        return "service" if self.kind == "key" else "user"


LOCAL = Principal("local", "local", trusted=True, scopes=ALL_SCOPES, kind="local")
"""The principal of all requests in local mode."""


class Authenticator:
    """Turns the headers of a request into a principal."""

    def __init__(self, identity: IdentitySettings, *, server: ServerSettings) -> None:
        """Check the settings once, at start.

        Raises:
            ConfigurationError: ``local`` on an address that other machines can reach or for pages of any origin,
                or ``jwt`` without a secret.
        """
        self._tokens: TokenVerifier | None = None
        self._kept = identity.claims
        self._guard = LoopbackGuard(server.cors_origins)
        if identity.mode == "jwt":
            # Here: a worker authenticates nobody, and local mode has no tokens.
            from core.bearer_token import TokenVerifier

            self._tokens = TokenVerifier(identity)
        elif not is_loopback(server.host):
            raise ConfigurationError(_EXPOSED.format(host=server.host))
        else:
            refuse_origins_of_anybody(server.cors_origins)

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Return the principal of a request.

        Args:
            headers: Request headers with lower-case or case-insensitive names.

        Raises:
            Unauthenticated: No credential, or one that failed a check.
            Forbidden: In local mode, the request comes from a foreign web page.
        """
        if self._tokens is None:
            self._guard.check(headers)
            return LOCAL
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("Send Authorization: Bearer <token>.")
        verified = self._tokens.verify(token.strip())
        # Claims are personal data, and stay as long as the run's input: only what the operator has named is kept.
        kept = {name: verified.claims[name] for name in self._kept if name in verified.claims}
        return Principal(verified.tenant, verified.user, verified.valid_until, verified.claims, kept or None)
