"""Encryption of what is stored for users and must never be read from a database: tokens of other services.

Rules:

1. AES-256-GCM. A sealed value is one byte for the form, the id of the key (8 bytes), a random nonce (12 bytes), the
   encrypted text and its tag.
2. A value is bound to what it is for (a purpose, the tenant, the user, the server, the address). It opens with exactly
   the same binding: a row that was copied to another user, or whose address was changed, does not open.
3. The first key seals. Every key opens what it has sealed. The id of a key says nothing about the key.

See docs/adr/0038.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.config import SecretSettings
from core.errors import ConfigurationError
from core.secret_values import KEY_COMMAND, encryption_keys

_FORM = b"\x01"
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16
HEAD_BYTES = len(_FORM) + _KEY_ID_BYTES
"""The first bytes of a sealed value: which key opens it."""
NO_KEY = f"AGENT_SECRETS__KEY is not set: set it to the output of `{KEY_COMMAND}`, the same in all processes"


class CannotOpen(Exception):
    """A sealed value was written with a key that is not here, for something else, or was changed."""


class Vault:
    """Seals texts, and opens them again.

    Args:
        keys: Of 32 bytes each. Without any, nothing is sealed and nothing opens.
    """

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._ciphers = {_FORM + _key_id(key): AESGCM(key) for key in keys}

    @classmethod
    def of(cls, settings: SecretSettings) -> Self:
        """Return the vault of these settings."""
        return cls(encryption_keys(settings.key))

    @property
    def is_on(self) -> bool:
        """Whether there is a key."""
        return bool(self._ciphers)

    @property
    def heads(self) -> list[bytes]:
        """The first bytes of all values that may open; those of the key that seals come first."""
        return list(self._ciphers)

    def seal(self, text: str, *binding: str) -> bytes:
        """Encrypt a text.

        Args:
            text: Any text.
            binding: What it is for. :meth:`open` needs the same texts in the same order.

        Raises:
            ConfigurationError: There is no key.
        """
        for head, cipher in self._ciphers.items():
            nonce = os.urandom(_NONCE_BYTES)
            return head + nonce + cipher.encrypt(nonce, _bytes(text), head + _bound(binding))
        raise ConfigurationError(NO_KEY)

    def open(self, sealed: bytes, *binding: str) -> str:
        """Decrypt a sealed value.

        Raises:
            CannotOpen: Its key is not here, the binding differs, or it was changed.
        """
        head, rest = sealed[:HEAD_BYTES], sealed[HEAD_BYTES:]
        cipher = self._ciphers.get(head)
        if cipher is None or len(rest) < _NONCE_BYTES + _TAG_BYTES:
            raise CannotOpen("no key for it")
        try:
            text = cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head + _bound(binding))
        except InvalidTag:
            raise CannotOpen("not for this, or changed") from None
        return text.decode("utf-8", "surrogatepass")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"agentroute key id\0" + key).digest()[:_KEY_ID_BYTES]


def _bound(binding: Iterable[str]) -> bytes:
    # Each with its length: no two bindings have the same bytes.
    parts = [_bytes(part) for part in binding]
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
