"""Remembers tokens that were checked, by their hash: a client sends the same one with each request."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from core.tokens.claims import VerifiedToken

MOST_TOKENS = 4096
"""About 10 MB at worst: 8 KiB of claims would fill it, usual tokens take a tenth."""


class VerifiedTokens:
    """Tokens that were checked with the keys of one generation.

    A token is forgotten when it expires, when the keys change, or when ``MOST_TOKENS`` others were used since.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._found: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        self._generation = 0

    def find(self, token: str, generation: int) -> VerifiedToken | None:
        """Return what a token said when it was checked, if that still counts."""
        if generation != self._generation:
            self._found.clear()
            self._generation = generation
            return None
        digest = _digest(token)
        found = self._found.get(digest)
        if found is None:
            return None
        if self._clock() >= found.valid_until:
            del self._found[digest]
            return None
        self._found.move_to_end(digest)
        return found

    def keep(self, token: str, found: VerifiedToken, generation: int) -> None:
        """Remember a token that was checked with the keys of a generation."""
        if generation != self._generation:
            return
        self._found[_digest(token)] = found
        if len(self._found) > MOST_TOKENS:
            self._found.popitem(last=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
