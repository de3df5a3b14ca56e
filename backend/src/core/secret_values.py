"""Secrets as people paste them: what is certainly meant is corrected, what cannot work is refused at the start.

A message of this file says which character is wrong and where, and never what the secret is.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, SecretStr

_QUOTES = "\"'"
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs", "Cs", "Co", "Cn"})


def check_api_key(value: SecretStr) -> SecretStr:
    """Return a key that an HTTP header can carry, without the line break or spaces that a file or a paste adds.

    Raises:
        ValueError: The key cannot be sent, or is certainly not the key alone.
    """
    key = value.get_secret_value().strip()
    if len(key) > 1 and key[0] == key[-1] and key[0] in _QUOTES:
        raise ValueError("is in quotes; set it without them")
    if key.lower().startswith("bearer "):
        raise ValueError("begins with Bearer; set the key alone")
    for position, character in enumerate(key, start=1):
        if not "!" <= character <= "~":
            raise ValueError(
                f"has {_named(character)} as character {position}, which no key has; copy the key again"
            )
    return SecretStr(key)


def check_secret_url(value: SecretStr) -> SecretStr:
    """Return a URL with its password, without spaces around it.

    Raises:
        ValueError: It holds a character that nobody sees.
    """
    url = value.get_secret_value().strip()
    for position, character in enumerate(url, start=1):
        # A plain space is seen, and a directory of a unix socket may have one.
        if character != " " and unicodedata.category(character) in _HIDDEN:
            raise ValueError(
                f"has {_named(character)} as character {position}; write it percent-encoded, or remove it"
            )
    return SecretStr(url)


def check_postgres_url(value: SecretStr) -> SecretStr:
    """Return a URL of Postgres, or none at all.

    Raises:
        ValueError: It is a URL of something else, or holds a character that nobody sees.
    """
    url = check_secret_url(value)
    scheme, separator, _ = url.get_secret_value().partition("://")
    if url.get_secret_value() and (
        not separator or scheme.partition("+")[0] not in {"postgresql", "postgres"}
    ):
        raise ValueError("is no URL of Postgres; it begins with postgresql://")
    return url


def check_shared_secret(value: SecretStr) -> SecretStr:
    """Return a secret that another party has too, exactly as it is.

    Raises:
        ValueError: It begins or ends with white space. Whether the other party has it so cannot be known.
    """
    secret = value.get_secret_value()
    if secret != secret.strip():
        raise ValueError(
            "begins or ends with white space, perhaps a line break; remove it here and where tokens are signed"
        )
    return value


KEY_COMMAND = "openssl rand -base64 32"
"""Makes an encryption key."""
_KEY_BYTES = 32


class SeveralSecrets(SecretStr):
    """One or several secrets in one setting, separated by commas or white space."""

    @property
    def each(self) -> tuple[str, ...]:
        """The secrets, in their order."""
        return tuple(re.findall(r"[^\s,]+", self.get_secret_value()))


def check_encryption_keys(value: SecretStr) -> SeveralSecrets:
    """Return encryption keys: each is 32 random bytes in Base64.

    Raises:
        ValueError: A key is something else.
    """
    keys = SeveralSecrets(value.get_secret_value())
    for place, key in enumerate(keys.each, start=1):
        which = "" if len(keys.each) == 1 else f"key {place} "
        if (data := _decoded(key)) is None or len(data) != _KEY_BYTES:
            raise ValueError(f"{which}is not 32 bytes in Base64; `{KEY_COMMAND}` makes a key")
        if len(set(data)) < _KEY_BYTES // 4:
            raise ValueError(f"{which}repeats few bytes and is no random key; `{KEY_COMMAND}` makes one")
    return keys


def encryption_keys(value: SecretStr) -> list[bytes]:
    """Return the keys of a setting of :func:`check_encryption_keys` as bytes; the first one writes."""
    return [data for key in check_encryption_keys(value).each if (data := _decoded(key)) is not None]


def _decoded(key: str) -> bytes | None:
    """Decode Base64 of both alphabets, with or without padding."""
    plain = key.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _named(character: str) -> str:
    name = unicodedata.name(character, "a control character").lower()
    return f"U+{ord(character):04X} ({name})"


ApiKey = Annotated[SecretStr, AfterValidator(check_api_key)]
SecretUrl = Annotated[SecretStr, AfterValidator(check_secret_url)]
PostgresUrl = Annotated[SecretStr, AfterValidator(check_postgres_url)]
SharedSecret = Annotated[SecretStr, AfterValidator(check_shared_secret)]
EncryptionKeys = Annotated[SecretStr, AfterValidator(check_encryption_keys)]
