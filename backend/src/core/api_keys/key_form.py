"""The form of an API key: ``ar_<id>_<secret><checksum>``, letters and digits only. Pure.

Rules:

1. The id names the key and is no secret: it is in lists and in the log. The secret has 256 random bits.
2. Only the SHA-256 of the whole text is stored. The secret is random and long, so a slow hash would protect nothing more.
3. The checksum is the CRC-32 of everything before it. It protects nothing: it tells a mistyped or truncated key from an
   unknown one without a look into the database, and lets scanners of secrets report keys without false alarms.
4. One word character follows the other, so that a double click selects the whole key.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

from core.errors import InvalidToken

KEY_PREFIX = "ar_"
ID_LENGTH = 12
"""62^12: 71 bits, so that nobody meets the id of another key by chance."""
_SECRET_LENGTH = 43
"""Enough digits for 256 bits: 62^43 > 2^256."""
_CHECKSUM_LENGTH = 6
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(rf"ar_([0-9A-Za-z]{{{ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}")
_NAME = re.compile(rf"(?:ar_)?([0-9A-Za-z]{{{ID_LENGTH}}})(?:_[0-9A-Za-z]*)?")
_MALFORMED = "The API key is mistyped or incomplete: it is ar_, 12 characters, _ and 49 characters."


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A key as a request brought it. Well formed, and otherwise not checked yet."""

    key_id: str
    digest: bytes = field(repr=False)


def is_key(credential: str) -> bool:
    """Return whether a credential is meant to be an API key."""
    return credential.startswith(KEY_PREFIX)


def new_key_id() -> str:
    """Return an id for a new key."""
    return _in_digits(secrets.randbelow(62**ID_LENGTH), ID_LENGTH)


def new_key(key_id: str) -> str:
    """Return a new key of this id: what its owner keeps, and nobody else."""
    text = f"{KEY_PREFIX}{key_id}_{random_digits()}"
    return text + _checksum(text)


def digest_of(key: str) -> bytes:
    """Return what is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def read_key(text: str) -> PresentedKey:
    """Read a key.

    Raises:
        InvalidToken: It has another form, or a character of it is wrong.
    """
    found = _FORM.fullmatch(text)
    if found is None or _checksum(text[:-_CHECKSUM_LENGTH]) != text[-_CHECKSUM_LENGTH:]:
        raise InvalidToken(_MALFORMED)
    return PresentedKey(found[1], digest_of(text))


def key_id_in(text: str) -> str | None:
    """Return the id in what somebody gives to name a key: the id, or a whole key that was found somewhere."""
    found = _NAME.fullmatch(text.strip())
    return None if found is None else found[1]


def _checksum(text: str) -> str:
    return _in_digits(zlib.crc32(text.encode()), _CHECKSUM_LENGTH)


def random_digits() -> str:
    """Return 256 random bits as letters and digits."""
    return _in_digits(secrets.randbits(256), _SECRET_LENGTH)


def _in_digits(number: int, length: int) -> str:
    """Return a number to the base 62, with leading zeros."""
    found: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        found.append(_DIGITS[digit])
    return "".join(reversed(found))
