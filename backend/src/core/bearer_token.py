"""Verifies JSON Web Tokens signed with the shared secret (HS256)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from core.config import IdentitySettings
from core.errors import ConfigurationError, InvalidToken

_ALGORITHMS = ["HS256"]
# 8 KiB: several times an ordinary token, and little to parse before the signature is verified.
_MAX_TOKEN_CHARACTERS = 8192
_MAX_NAME_CHARACTERS = 128
_DEFAULT_TENANT = "default"
_UNCONFIGURED = (
    "AGENT_IDENTITY__MODE is jwt but there is no secret: set AGENT_IDENTITY__JWT_SECRET (at least 32 bytes), "
    "or AGENT_IDENTITY__MODE=local on a loopback address."
)

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


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a token says, after all checks."""

    tenant: str
    """The claim ``tenant``; ``default`` when absent."""
    user: str
    """The claim ``sub``."""
    valid_until: float
    """Unix time after which the same token is refused: the claim ``exp`` and the leeway."""
    claims: Mapping[str, Any]
    """All claims."""


class TokenVerifier:
    """Checks a token and returns its principal.

    Accepts exactly one algorithm, so that a token cannot choose the algorithm of its check
    (RFC 8725, section 3.1). ``jku``, ``x5u`` and ``jwk`` headers are never read.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        if not settings.jwt_secret.get_secret_value():
            raise ConfigurationError(_UNCONFIGURED)
        self._settings = settings
        self._required = ["exp", "iat", "sub"]
        if settings.jwt_issuer:
            self._required.append("iss")
        if settings.jwt_audience:
            self._required.append("aud")

    def verify(self, token: str) -> VerifiedToken:
        """Return what a token says.

        Raises:
            InvalidToken: A check failed. The detail says which check, and never contains the token.
        """
        claims = self._decode(token)
        expires_at = _number(claims["exp"])
        if expires_at - _number(claims["iat"]) > self._settings.max_lifetime_seconds:
            raise InvalidToken(f"The token's lifetime exceeds {self._settings.max_lifetime_seconds} seconds.")
        tenant = claims.get("tenant", _DEFAULT_TENANT)
        return VerifiedToken(
            _name(tenant, "tenant"),
            _name(claims["sub"], "sub"),
            expires_at + self._settings.leeway_seconds,
            claims,
        )

    def _decode(self, token: str) -> dict[str, Any]:
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise InvalidToken("The token is too long.")
        try:
            return jwt.decode(
                token,
                self._settings.jwt_secret.get_secret_value(),
                algorithms=_ALGORITHMS,
                leeway=self._settings.leeway_seconds,
                issuer=self._settings.jwt_issuer or None,
                # Without a configured audience, a token with an audience is refused: it is for another service.
                audience=self._settings.jwt_audience or None,
                options={"require": self._required},
            )
        except (jwt.PyJWTError, ValueError, OverflowError, TypeError, RecursionError) as exc:
            # The built-in exceptions: the header is parsed before the signature is verified, and may hold any text.
            raise InvalidToken(_reason(exc)) from exc


def _reason(exc: Exception) -> str:
    for kind, text in _REASONS:
        if isinstance(exc, kind):
            return text
    return "The token is malformed."


def _number(value: Any) -> float:
    """Return a claim that PyJWT has found to be a number. An integer of 400 digits is one, and no time."""
    try:
        return float(value)
    except (OverflowError, ValueError, TypeError) as exc:
        raise InvalidToken("The token is malformed.") from exc


def _name(value: object, claim: str) -> str:
    """Return a claim that becomes part of a principal and appears in logs: short, visible text."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME_CHARACTERS:
        raise InvalidToken(f"The claim {claim} must be text of 1 to {_MAX_NAME_CHARACTERS} characters.")
    # Categories C*: control, format, surrogate, private use, unassigned.
    if value != value.strip() or any(unicodedata.category(character)[0] == "C" for character in value):
        raise InvalidToken(f"The claim {claim} contains characters that are not allowed.")
    return value
