"""The keys with which tokens are checked: which key may check which token. Pure.

Rules:

1. A key is used for one algorithm: its type decides, never the token (RFC 8725, section 3.1).
2. A token that names a key (``kid``) is checked with the keys of that name only.
3. A token that names none is checked with each key of its algorithm, at most ``_MOST_TRIED``.
4. A shared secret without a name checks tokens of any name that no other secret has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from core.identity_settings import SigningSecret

_MOST_KEYS = 100
_MOST_TRIED = 8
_LEAST_RSA_BITS = 2048  # RFC 7518, section 3.3
_MOST_RSA_BITS = 8192
_MOST_EXPONENT_BITS = 64
"""Of RSA. A check takes the cube of these sizes: one key of 64 Ki bits would take the processor for every token."""
_MOST_NUMBER_CHARACTERS = 1400
"""Of a number in an entry, which is Base64: a longer one is not even read."""


class KeySetInvalid(Exception):
    """A document is no set of usable public keys. The text says why, and holds no key."""


@dataclass(frozen=True, slots=True)
class CheckingKey:
    """A key, and the only algorithm for which it is used."""

    algorithm: str
    key: Any
    """As PyJWT takes it."""
    kid: str | None = None
    thumbprint: bytes = b""
    """The public key as bytes. Tells whether two sets are the same."""

    @property
    def mark(self) -> str:
        """Names the key under this name and for this algorithm. No secret; another key of the same name has another."""
        name = f"{self.algorithm} {self.kid!r} ".encode("utf-8", "surrogatepass")
        return hashlib.sha256(name + self.thumbprint).hexdigest()


class KeySet:
    """The keys of one issuer at one time."""

    def __init__(self, keys: Iterable[CheckingKey], *, unnamed_check_all: bool = False) -> None:
        self._keys = tuple(keys)
        self._unnamed_check_all = unnamed_check_all
        self.marks = frozenset(key.mark for key in self._keys if key.thumbprint)
        """The marks of the public keys."""

    @property
    def kids(self) -> list[str]:
        """The names of the keys, sorted; of a key without one, ``-``."""
        return sorted(key.kid or "-" for key in self._keys)

    def find(self, kid: str | None, algorithm: str) -> tuple[CheckingKey, ...]:
        """Return the keys that may check a token."""
        fitting = [key for key in self._keys if key.algorithm == algorithm]
        if kid is not None:
            named = [key for key in fitting if key.kid == kid]
            if named or not self._unnamed_check_all:
                return tuple(named[:_MOST_TRIED])
            fitting = [key for key in fitting if key.kid is None]
        return tuple(fitting if self._unnamed_check_all else fitting[:_MOST_TRIED])

    def is_same(self, other: KeySet | None) -> bool:
        """Return whether another set has the same keys under the same names."""
        return other is not None and self.marks == other.marks


def secret_keys(secrets: Iterable[SigningSecret]) -> KeySet:
    """Return the shared secrets as keys of HS256."""
    return KeySet(
        (CheckingKey("HS256", each.secret.get_secret_value(), each.kid) for each in secrets),
        unnamed_check_all=True,
    )


def parse_key_set(document: Any, algorithms: Iterable[str]) -> KeySet:
    """Return the usable keys of a JSON Web Key Set (RFC 7517).

    A key that is none of ours is passed over: another algorithm, for encryption, too short, or unreadable.

    Args:
        document: Parsed JSON.
        algorithms: Those that the settings allow.

    Raises:
        KeySetInvalid: The document is no key set, or has no usable key.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise KeySetInvalid('is no JSON Web Key Set: an object with the list "keys"')
    allowed = frozenset(algorithms)
    keys = [key for entry in entries[:_MOST_KEYS] if (key := _parse_key(entry, allowed)) is not None]
    if not keys:
        raise KeySetInvalid(f"has no usable key for {', '.join(sorted(allowed))} among its {len(entries)}")
    return KeySet(keys)


def _parse_key(entry: Any, allowed: frozenset[str]) -> CheckingKey | None:
    if not isinstance(entry, Mapping) or not _is_for_signatures(entry):
        return None
    kid = entry.get("kid")
    if kid is not None and not isinstance(kid, str):
        return None
    try:
        # Of the type that the entry names: PyJWT would otherwise make an HMAC key of an ``oct`` entry.
        key = _public_key(entry)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError):
        return None
    algorithm = _algorithm(key)
    if key is None or algorithm not in allowed or entry.get("alg", algorithm) not in (algorithm, "Ed25519"):
        return None
    return CheckingKey(algorithm, key, kid, _thumbprint(key))


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _public_key(entry: Mapping[str, Any]) -> Any:
    """Return the public key of an entry; ``None`` if it is of another type, or private."""
    if "d" in entry:
        # A published private key signs for everybody.
        return None
    if any(len(entry[name]) > _MOST_NUMBER_CHARACTERS for name in ("n", "e", "x", "y") if name in entry):
        return None
    match entry.get("kty"):
        case "RSA":
            return RSAAlgorithm.from_jwk(dict(entry))
        case "EC":
            return ECAlgorithm.from_jwk(dict(entry))
        case "OKP":
            return OKPAlgorithm.from_jwk(dict(entry))
        case _:
            return None


def _algorithm(key: Any) -> str:
    match key:
        case RSAPublicKey() if _is_usual_rsa(key):
            return "RS256"
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
        case _:
            return ""


def _is_usual_rsa(key: RSAPublicKey) -> bool:
    return (
        _LEAST_RSA_BITS <= key.key_size <= _MOST_RSA_BITS
        and key.public_numbers().e.bit_length() <= _MOST_EXPONENT_BITS
    )


def _thumbprint(key: Any) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
