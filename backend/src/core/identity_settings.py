"""The settings of who is calling: how credentials are checked, and which claims of a token count."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from core.loopback import is_loopback
from core.secret_values import SharedSecret
from core.settings_section import HttpAddress, OptionalPath, SettingsSection

KeyAlgorithm = Literal["RS256", "ES256", "EdDSA"]
_LEAST_SECRET_BYTES = 32
_SOURCES = ("oidc_issuer", "jwks_url", "jwks_path")


class SigningSecret(SettingsSection):
    """One secret of the list: the secret alone, or with the ``kid`` of the tokens that it signs."""

    secret: SharedSecret
    kid: str | None = Field(default=None, min_length=1, max_length=256)


def _with_secret(value: Any) -> Any:
    return {"secret": value} if isinstance(value, str) else value


class IdentitySettings(SettingsSection):
    """Who is calling."""

    mode: Literal["local", "jwt"] = "jwt"
    """``local``: all callers are one local user; allowed on loopback addresses only."""
    jwt_secret: SharedSecret = SecretStr("")
    jwt_secrets: tuple[Annotated[SigningSecret, BeforeValidator(_with_secret)], ...] = ()
    """Further secrets, such as the next or the previous one: each is accepted."""
    oidc_issuer: HttpAddress = ""
    """An OpenID Connect provider: its metadata says where its keys are. Also ``iss`` of its tokens."""
    jwks_url: HttpAddress = ""
    """Where the public keys of the issuer are, for one without metadata."""
    jwks_path: OptionalPath = None
    """A file with the public keys of the issuer."""
    jwt_algorithms: tuple[KeyAlgorithm, ...] = Field(default=("RS256", "ES256", "EdDSA"), min_length=1)
    """Of tokens signed with keys. A key is used for its own algorithm only. Secrets are for HS256."""
    jwks_refresh_seconds: float = Field(default=45.0, ge=10, le=86_400)
    """Keys are fetched again after this time; earlier if the issuer says so, or a token names an unknown key. A key that
    the issuer withdraws counts until then, and the streams of its tokens go on until then: 45 s leave time for an answer
    that comes late, within a minute."""
    jwks_stale_seconds: float = Field(default=3600.0, ge=0, le=604_800)
    """How long keys are good after the time at which they should have been fetched again, if the issuer is down."""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    max_lifetime_seconds: int = Field(default=86_400, gt=0)
    leeway_seconds: int = Field(default=30, ge=0, le=300)
    tenant_claim: str = Field(default="tenant", min_length=1)
    """Claim with the tenant. Dots lead into objects. A token without it is of the tenant ``default``."""
    groups_claim: str = Field(default="groups", min_length=1)
    """Claim with the groups of a user, for ``access = ["group:..."]`` of a profile. Dots lead into objects."""
    roles_claim: str = Field(default="roles", min_length=1)
    """The same for ``role:...``; of Keycloak ``realm_access.roles``."""
    scopes_claim: str = Field(default="scope", min_length=1)
    """Claim with the scopes: text with spaces, or a list. Dots lead into objects."""
    scopes_required: bool = False
    """A token that names no scope of this service permits nothing. Otherwise it permits what a user may do."""

    claims: tuple[str, ...] = ()
    """Claims of the caller's token that are stored with each run, for the factory of its agent (``run.claims``)."""

    @property
    def secrets(self) -> tuple[SigningSecret, ...]:
        """Every shared secret; that of ``jwt_secret`` is the first."""
        first = (SigningSecret(secret=self.jwt_secret),) if self.jwt_secret.get_secret_value() else ()
        return (*first, *self.jwt_secrets)

    @property
    def has_public_keys(self) -> bool:
        """Whether tokens are signed with keys of an issuer."""
        return any(getattr(self, name) for name in _SOURCES)

    @property
    def has_tokens(self) -> bool:
        """Whether there is anything to check a token with."""
        return bool(self.secrets) or self.has_public_keys

    @property
    def issuer(self) -> str:
        """``iss`` of every token; empty if it is not checked."""
        return self.jwt_issuer or self.oidc_issuer

    @model_validator(mode="after")
    def _secrets_are_strong(self) -> IdentitySettings:
        for secret, name in (
            (self.jwt_secret.get_secret_value(), "AGENT_IDENTITY__JWT_SECRET"),
            *(
                (each.secret.get_secret_value(), "each of AGENT_IDENTITY__JWT_SECRETS")
                for each in self.jwt_secrets
            ),
        ):
            if (secret or name.startswith("each")) and len(secret.encode()) < _LEAST_SECRET_BYTES:
                # RFC 7518, section 3.2: an HS256 key has at least 256 bits.
                raise ValueError(f"{name} must have at least {_LEAST_SECRET_BYTES} bytes")
        kids = [each.kid for each in self.jwt_secrets if each.kid is not None]
        if len(kids) != len(set(kids)):
            raise ValueError("AGENT_IDENTITY__JWT_SECRETS: two secrets have the same kid")
        return self

    @model_validator(mode="after")
    def _keys_have_one_source(self) -> IdentitySettings:
        named = [f"AGENT_IDENTITY__{name.upper()}" for name in _SOURCES if getattr(self, name)]
        if not named:
            return self
        if self.secrets:
            # RFC 8725, section 3.1: with both families, a public key could pass for a secret.
            raise ValueError(
                f"{named[0]} and AGENT_IDENTITY__JWT_SECRET exclude each other: remove the secret, or the keys"
            )
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} exclude each other: keep one")
        if not self.issuer:
            raise ValueError(f"AGENT_IDENTITY__JWT_ISSUER is not set: {named[0]} needs the value of iss")
        if not self.jwt_audience:
            raise ValueError(
                f"AGENT_IDENTITY__JWT_AUDIENCE is not set: {named[0]} needs it, or tokens for other services would count"
            )
        if self.jwt_issuer and self.oidc_issuer and self.jwt_issuer != self.oidc_issuer:
            raise ValueError("AGENT_IDENTITY__JWT_ISSUER differs from AGENT_IDENTITY__OIDC_ISSUER: remove it")
        for name in ("oidc_issuer", "jwks_url"):
            if not is_protected(getattr(self, name)):
                raise ValueError(
                    f"AGENT_IDENTITY__{name.upper()} must be https: whoever is between decides who calls"
                )
        return self


def is_protected(address: str) -> bool:
    """Return whether nobody on the way can change what an address answers: https, or this machine. Empty is."""
    parts = urlsplit(address)
    return not address or parts.scheme == "https" or is_loopback(parts.hostname or "")
