"""Checks JSON Web Tokens: signature, times, issuer, audience. PyJWT does the cryptography.

Exactly one family of algorithms counts: HS256 with shared secrets, or public keys of an issuer (RFC 8725, section 3.1).
The headers ``jku``, ``x5u``, ``x5c`` and ``jwk`` are never read: a token cannot bring its own key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jwt

from core.errors import ConfigurationError, InvalidToken
from core.identity_errors import IssuerUnavailable
from core.identity_settings import IdentitySettings
from core.tokens.claims import VerifiedToken, read_claims
from core.tokens.fetched_keys import FetchKeys, no_keys
from core.tokens.key_set import CheckingKey, KeySet, secret_keys
from core.tokens.key_source import KeySource
from core.tokens.verified_tokens import VerifiedTokens

# 8 KiB: several times an ordinary token, and little to parse before the signature is verified.
_MAX_TOKEN_CHARACTERS = 8192
_UNCONFIGURED = (
    "AGENT_IDENTITY__MODE is jwt but there is no secret: set AGENT_IDENTITY__JWT_SECRET (at least 32 bytes) or "
    "AGENT_IDENTITY__OIDC_ISSUER, or AGENT_IDENTITY__MODE=local on a loopback address."
)
_UNKNOWN_KEY = "The token is signed with a key that its issuer does not have (kid)."

# Most specific first: PyJWT's classes inherit from one another.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired."),
    (jwt.ImmatureSignatureError, "The token is not valid yet."),
    (
        jwt.MissingRequiredClaimError,
        "The token lacks a required claim (exp, iat, sub, and iss or aud where configured).",
    ),
    (jwt.InvalidIssuerError, "The token is from another issuer."),
    (jwt.InvalidAudienceError, "The token is for another audience."),
    (jwt.InvalidAlgorithmError, "The token's algorithm is not accepted."),
    (jwt.InvalidSignatureError, "The token's signature is not valid."),
)
# The built-in exceptions: the header is parsed before the signature is verified, and may hold any text.
_FAILURES = (jwt.PyJWTError, ValueError, OverflowError, TypeError, RecursionError)


class TokenVerifier:
    """Checks a token and returns what it says.

    Args:
        settings: The secrets or the issuer, and what tokens must have.
        fetch_keys: Gets the keys of the issuer; without it there are none.
        source: The keys themselves, in place of both.

    Raises:
        ConfigurationError: There is nothing to check a token with.
    """

    def __init__(
        self, settings: IdentitySettings, fetch_keys: FetchKeys = no_keys, *, source: KeySource | None = None
    ) -> None:
        if not settings.has_tokens:
            raise ConfigurationError(_UNCONFIGURED)
        self._settings = settings
        self._secrets: KeySet | None = None
        self.source: KeySource | None = None
        """The keys of the issuer; ``None`` with shared secrets."""
        if settings.has_public_keys:
            self.source = source or KeySource(settings, fetch_keys)
            self._algorithms = frozenset[str](settings.jwt_algorithms)
        else:
            self._secrets = secret_keys(settings.secrets)
            self._algorithms = frozenset({"HS256"})
        self._verified = VerifiedTokens()
        self._required = ["exp", "iat", "sub"]
        if settings.issuer:
            self._required.append("iss")
        if settings.jwt_audience:
            self._required.append("aud")

    async def verify(self, token: str) -> VerifiedToken:
        """Return what a token says.

        Raises:
            InvalidToken: A check failed. The detail says which check, and never contains the token.
            IssuerUnavailable: The keys of the issuer are not known now.
        """
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise InvalidToken("The token is too long.")
        keys = await self._keys()
        generation = 0 if self.source is None else self.source.generation
        if (known := self._verified.find(token, generation)) is not None:
            return known
        kid, algorithm = self._header(token)
        found = keys.find(kid, algorithm)
        if not found and self.source is not None:
            newer = await self.source.newer_keys()
            generation = self.source.generation
            found = () if newer is None else newer.find(kid, algorithm)
        if not found:
            raise InvalidToken(_UNKNOWN_KEY if self.source else "The token's signature is not valid.")
        claims, key = self._decode(token, found)
        verified = read_claims(claims, self._settings, key.mark if self.source else None)
        self._verified.keep(token, verified, generation)
        return verified

    async def _keys(self) -> KeySet:
        if self._secrets is not None:
            return self._secrets
        keys = None if self.source is None else await self.source.first_keys()
        if keys is None:
            raise IssuerUnavailable("The issuer's keys are not known now. Try again.")
        return keys

    def _header(self, token: str) -> tuple[str | None, str]:
        """Return which key and which algorithm a token names."""
        try:
            header = jwt.get_unverified_header(token)
        except _FAILURES as exc:
            raise InvalidToken(_reason(exc)) from exc
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise InvalidToken("The token's algorithm is not accepted.")
        return kid, algorithm

    def _decode(self, token: str, keys: Sequence[CheckingKey]) -> tuple[dict[str, Any], CheckingKey]:
        """Return the claims, and the first key whose signature the token has."""
        failure: Exception = jwt.InvalidSignatureError()
        for key in keys:
            try:
                claims = jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    leeway=self._settings.leeway_seconds,
                    issuer=self._settings.issuer or None,
                    # Without a configured audience, a token with an audience is refused: it is for another service.
                    audience=self._settings.jwt_audience or None,
                    options={"require": self._required},
                )
                return claims, key
            except jwt.InvalidSignatureError as exc:
                failure = exc
            except _FAILURES as exc:
                raise InvalidToken(_reason(exc)) from exc
        raise InvalidToken(_reason(failure)) from failure


def _reason(exc: Exception) -> str:
    for kind, text in _REASONS:
        if isinstance(exc, kind):
            return text
    return "The token is malformed."
