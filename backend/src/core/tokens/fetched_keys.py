"""What asking for the keys of an issuer brings. ``issuer_http`` asks; ``key_source`` decides when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from core.identity_settings import IdentitySettings
from core.tokens.key_set import KeySet


class KeysUnavailable(Exception):
    """The keys could not be had. The text says why, for the log and for ``doctor``."""


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """The answer of an issuer."""

    keys: KeySet
    max_age_seconds: float | None
    """``Cache-Control: max-age`` of the keys."""
    clock_skew_seconds: float | None
    """How far the issuer's clock is ahead of ours, by its ``Date`` header. Good to a second or two."""


FetchKeys = Callable[[IdentitySettings], Awaitable[FetchedKeys]]
"""Returns the keys of the configured source, or raises ``KeysUnavailable``."""


async def no_keys(_settings: IdentitySettings) -> FetchedKeys:
    """Fetch nothing: for a process that only checks its settings."""
    raise KeysUnavailable("this process fetches no keys")
