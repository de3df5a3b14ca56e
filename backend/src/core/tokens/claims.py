"""Reads the claims of a token whose signature and times are good. Pure.

A claim is found by its exact name first; otherwise dots lead into objects, as in ``realm_access.roles``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidToken
from core.identity_settings import IdentitySettings
from core.scopes import USER_SCOPES, own_scopes

DEFAULT_TENANT = "default"
_MAX_NAME_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a token says, after all checks."""

    tenant: str
    user: str
    """The claim ``sub``."""
    valid_until: float
    """Unix time after which the same token is refused: the claim ``exp`` and the leeway."""
    scopes: frozenset[str]
    groups: frozenset[str]
    token_id: str | None
    """The claim ``jti``."""
    claims: Mapping[str, Any]
    """All claims."""
    signer: str | None = None
    """The mark of the issuer's key that has signed it; ``None`` with a shared secret."""


def read_claims(
    claims: Mapping[str, Any], settings: IdentitySettings, signer: str | None = None
) -> VerifiedToken:
    """Return what the claims say.

    Args:
        claims: Of the token.
        settings: Which claims count.
        signer: The mark of the issuer's key that has signed it.

    Raises:
        InvalidToken: A claim has no usable value, or the token lives too long.
    """
    expires_at = _number(claims["exp"])
    if expires_at - _number(claims["iat"]) > settings.max_lifetime_seconds:
        raise InvalidToken(f"The token's lifetime exceeds {settings.max_lifetime_seconds} seconds.")
    is_there, tenant = find_claim(claims, settings.tenant_claim)
    token_id = claims.get("jti")
    return VerifiedToken(
        tenant=_name(tenant, settings.tenant_claim) if is_there else DEFAULT_TENANT,
        user=_name(claims["sub"], "sub"),
        valid_until=expires_at + settings.leeway_seconds,
        scopes=_scopes(claims, settings),
        groups=_words(claims, settings.groups_claim),
        token_id=token_id[:_MAX_NAME_CHARACTERS] if isinstance(token_id, str) else None,
        claims=claims,
        signer=signer,
    )


def find_claim(claims: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """Return whether a claim is there, and its value."""
    if name in claims:
        return True, claims[name]
    found: Any = claims
    for step in name.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return False, None
        found = found[step]
    return True, found


def _scopes(claims: Mapping[str, Any], settings: IdentitySettings) -> frozenset[str]:
    _, value = find_claim(claims, settings.scopes_claim)
    if value is not None and not isinstance(value, str | list):
        raise InvalidToken(f"The claim {settings.scopes_claim} must be text, or a list of texts.")
    named = own_scopes(_words(claims, settings.scopes_claim))
    # An empty list says "nothing", as the permissions of a user to whom none were given.
    if named or settings.scopes_required or value == []:
        return named
    # ``openid profile`` says nothing about this service. See docs/adr/0053.
    return USER_SCOPES


def _words(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """Return the words of a claim: a list of texts, or one text with spaces between them."""
    _, value = find_claim(claims, name)
    # All of them: a token has 8 KiB at most, and a word that is left out could be the one that narrows the others.
    words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(word for word in words if isinstance(word, str))


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
