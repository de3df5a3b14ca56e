"""Secrets as people paste them: what is certainly meant is corrected, what cannot work is refused at the start.

A message of this file says which character is wrong and where, and never what the secret is.
"""

from __future__ import annotations

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


def _named(character: str) -> str:
    name = unicodedata.name(character, "a control character").lower()
    return f"U+{ord(character):04X} ({name})"


ApiKey = Annotated[SecretStr, AfterValidator(check_api_key)]
SecretUrl = Annotated[SecretStr, AfterValidator(check_secret_url)]
SharedSecret = Annotated[SecretStr, AfterValidator(check_shared_secret)]
