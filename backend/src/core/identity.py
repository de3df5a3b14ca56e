"""The principal: the pair (tenant, user) from which a request comes and to which threads and runs belong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from core.api_keys.key_form import is_key
from core.config import ServerSettings
from core.errors import ConfigurationError, Unauthenticated
from core.identity_settings import IdentitySettings
from core.loopback import LoopbackGuard, is_loopback, refuse_origins_of_anybody
from core.scopes import ALL_SCOPES, USER_SCOPES, Role, named_agents, permits_agent

if TYPE_CHECKING:
    from core.api_keys.keyring import KeyGrant, Keyring
    from core.tokens.fetched_keys import FetchKeys
    from core.tokens.verifier import TokenVerifier

_EXPOSED = (
    "AGENT_IDENTITY__MODE=local does not authenticate, and {host} is reachable from other machines: "
    "set {variable}=127.0.0.1 or AGENT_IDENTITY__MODE=jwt."
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
    signer: str | None = field(default=None, compare=False, repr=False)
    """Names the issuer's key that has signed the token, also the token that asked for a ticket. No secret."""

    @property
    def role(self) -> Role:
        """Who the caller is, for the table of the routes."""
        if "admin" in self.scopes:
            return "admin"
        return "service" if self.kind == "key" else "user"

    @property
    def agents(self) -> list[str] | None:
        """The agents to whose threads the credential is limited; ``None``: it is not limited."""
        return named_agents(self.scopes)

    def may_see(self, agent_id: str | None) -> bool:
        """Return whether the threads of an agent are there for the credential."""
        return permits_agent(self.scopes, agent_id)


LOCAL = Principal("local", "local", trusted=True, scopes=ALL_SCOPES, kind="local")
"""The principal of all requests in local mode."""


class Authenticator:
    """Turns the headers of a request into a principal."""

    def __init__(
        self,
        identity: IdentitySettings,
        *,
        server: ServerSettings,
        keys: Keyring | None = None,
        fetch_keys: FetchKeys | None = None,
    ) -> None:
        """Check the settings once, at start.

        Args:
            identity: Who is calling.
            server: The address, and the pages that may call.
            keys: Checks API keys. Without it, no key is good.
            fetch_keys: Gets the public keys of an issuer. Without it, tokens of an issuer cannot be checked.

        Raises:
            ConfigurationError: ``local`` on an address that other machines can reach or for pages of any origin,
                or ``jwt`` without a secret or an issuer.
        """
        self._tokens: TokenVerifier | None = None
        self._keys = keys
        self._kept = identity.claims
        self._guard = LoopbackGuard(server.cors_origins)
        if identity.mode == "jwt":
            # Here: a worker authenticates nobody, and local mode has no tokens.
            from core.tokens.verifier import TokenVerifier

            self._tokens = (
                TokenVerifier(identity) if fetch_keys is None else TokenVerifier(identity, fetch_keys)
            )
        else:
            _refuse_other_machines(server)
            refuse_origins_of_anybody(server.cors_origins)

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Return the principal of a request.

        Args:
            headers: Request headers with lower-case or case-insensitive names.

        Raises:
            Unauthenticated: No credential, or one that failed a check.
            IssuerUnavailable: The keys of the tokens' issuer are not known now.
            Forbidden: In local mode, the request comes from a foreign web page.
        """
        self.check_page(headers)
        credential = _bearer(headers)
        if self._keys is not None and is_key(credential):
            return self._with_key(await self._keys.verify(credential))
        if self._tokens is None:
            return LOCAL
        if not credential:
            raise Unauthenticated("Send Authorization: Bearer <token>.")
        verified = await self._tokens.verify(credential)
        # Claims are personal data, and stay as long as the run's input: only what the operator has named is kept.
        kept = {name: verified.claims[name] for name in self._kept if name in verified.claims}
        return Principal(
            verified.tenant,
            verified.user,
            verified.valid_until,
            verified.claims,
            kept or None,
            scopes=verified.scopes,
            groups=verified.groups,
            credential_id=verified.token_id,
            signer=verified.signer,
        )

    async def run(self, changed: Callable[[], None]) -> None:
        """Keep what credentials are checked with up to date. Runs until it is cancelled.

        Args:
            changed: Called when the keys of the issuer have changed.
        """
        if self._tokens is not None and self._tokens.source is not None:
            await self._tokens.source.run(changed)

    def is_withdrawn(self, signer: str) -> bool:
        """Return whether the issuer has withdrawn a key with which a good token was signed.

        Args:
            signer: That of its principal.
        """
        source = None if self._tokens is None else self._tokens.source
        return source is not None and source.is_withdrawn(signer)

    def check_page(self, headers: Mapping[str, str]) -> None:
        """Refuse what a foreign web page sends in local mode.

        Raises:
            Forbidden: ``Host`` or ``Origin`` names another machine.
        """
        if self._tokens is None:
            self._guard.check(headers)

    async def is_good(self, key: str) -> bool:
        """Return whether an API key that was good still is.

        Args:
            key: The ``credential_id`` of its principal.
        """
        return self._keys is not None and await self._keys.is_good(key)

    def _with_key(self, grant: KeyGrant) -> Principal:
        # What a token would say of the same caller: rules and factories that ask for `sub` need not know what a key is.
        claims = {"sub": grant.user_id, "tenant": grant.tenant_id}
        kept = {name: claims[name] for name in self._kept if name in claims}
        return Principal(
            grant.tenant_id,
            grant.user_id,
            grant.valid_until,
            claims,
            kept or None,
            scopes=grant.scopes,
            kind="key",
            credential_id=grant.credential_id,
        )


def _bearer(headers: Mapping[str, str]) -> str:
    """Return the credential of ``Authorization: Bearer``; empty if there is none."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def _refuse_other_machines(server: ServerSettings) -> None:
    """Check every address of a process that does not authenticate: on that of operators are the most powerful routes.

    Raises:
        ConfigurationError: Other machines can reach one of them.
    """
    names = ("AGENT_SERVER__HOST", "AGENT_SERVER__ADMIN_HOST")
    for variable, (host, _) in zip(names, server.addresses, strict=False):
        if not is_loopback(host):
            raise ConfigurationError(_EXPOSED.format(host=host, variable=variable))
