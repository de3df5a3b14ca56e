"""Keeps the public keys of an issuer: fetched in the background, before the ones at hand get old.

Rules:

1. A request never fetches. It uses the keys at hand; if there are none yet, or they lack the key that a token names, it
   waits at most ``PATIENCE_SECONDS`` for a fetch that all requests share.
2. A key that is not known causes a fetch at most every ``UNKNOWN_KEY_SECONDS``, however many tokens name one.
3. A fetch that succeeds replaces all keys, so a withdrawn key ends with it. One that fails replaces nothing: the keys at
   hand are good until ``jwks_stale_seconds`` after the time at which they should have been fetched again.
4. A key that was there and is there no more is withdrawn. A key that was never there is, too, if a fetch that began
   after somebody had asked about it does not bring it: another process may have seen a key that is newer than ours.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import structlog

from core.identity_settings import IdentitySettings
from core.tokens.fetched_keys import FetchedKeys, FetchKeys, KeysUnavailable
from core.tokens.key_set import KeySet

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 3.0
UNKNOWN_KEY_SECONDS = 10.0
_LEAST_REFRESH_SECONDS = 30.0
_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 60.0
_MOST_MARKS = 1000
"""Of withdrawn keys, and of unknown ones: the oldest are forgotten."""


class KeySource:
    """The public keys of one issuer.

    Args:
        settings: Where the keys are, and how long they are good.
        fetch: Gets them.
        clock: A clock in seconds that never goes back.
    """

    def __init__(
        self,
        settings: IdentitySettings,
        fetch: FetchKeys,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._keys: KeySet | None = None
        self._refresh_at = 0.0
        """When the keys should be fetched again."""
        self._asked_at: float | None = None
        """When the last fetch began."""
        self._failures = 0
        self._fetching: asyncio.Task[None] | None = None
        self._withdrawn: dict[str, None] = {}
        self._unknown: dict[str, float] = {}
        """Keys that others have seen, and when they were first asked about."""
        self._changed: Callable[[], None] = lambda: None
        self.generation = 0
        """Grows when the keys change. What was checked with others before counts no more."""

    @property
    def keys(self) -> KeySet | None:
        """The keys that are good now; ``None`` if there are none."""
        if self._clock() > self._refresh_at + self._settings.jwks_stale_seconds:
            return None
        return self._keys

    async def first_keys(self) -> KeySet | None:
        """Return the keys that are good now; if there are none, wait a little for a fetch."""
        if self.keys is None:
            await self._fetched(_RETRY_SECONDS)
        return self.keys

    async def newer_keys(self) -> KeySet | None:
        """Return the keys after a fetch for a key that is not known, if it is time for one."""
        await self._fetched(UNKNOWN_KEY_SECONDS)
        return self.keys

    def is_withdrawn(self, mark: str) -> bool:
        """Return whether the issuer had this key and has it no more.

        Args:
            mark: ``signer`` of a token that was good.
        """
        if mark in self._withdrawn:
            return True
        if self._keys is not None and mark not in self._keys.marks:
            self._unknown.setdefault(mark, self._clock())
            _forget_oldest(self._unknown)
        return False

    async def run(self, changed: Callable[[], None] = lambda: None) -> None:
        """Fetch the keys at the start, and before they get old. Runs until it is cancelled.

        Args:
            changed: Called when keys were added or withdrawn, or when an unknown one was found to be withdrawn.
        """
        self._changed = changed
        while True:
            await self._begin_fetch()
            await asyncio.sleep(self._pause())

    async def _fetched(self, pause: float) -> None:
        """Wait for the fetch under way, or for a new one if the last one began long enough ago."""
        fetching = self._fetching
        if fetching is None or fetching.done():
            if self._asked_at is not None and self._clock() - self._asked_at < pause:
                return
            fetching = self._begin_fetch()
        # Only waited for: the fetch goes on for the others.
        await asyncio.wait({fetching}, timeout=PATIENCE_SECONDS)

    def _begin_fetch(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._asked_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch_once(), name="issuer-keys")
        return self._fetching

    async def _fetch_once(self) -> None:
        began_at = self._clock()
        try:
            found = await self._fetch(self._settings)
        except KeysUnavailable as exc:
            self._failures += 1
            level = log.error if self.keys is None else log.warning
            level("issuer_keys_unavailable", reason=str(exc), failures=self._failures)
            return
        except Exception:
            self._failures += 1
            log.exception("issuer_keys_failed")
            return
        self._take(found, began_at)

    def _take(self, found: FetchedKeys, began_at: float) -> None:
        self._failures = 0
        wanted = self._settings.jwks_refresh_seconds
        if found.max_age_seconds is not None:
            wanted = min(wanted, max(found.max_age_seconds, _LEAST_REFRESH_SECONDS))
        self._refresh_at = self._clock() + wanted
        is_news = self._note_withdrawn(found.keys, began_at)
        if not found.keys.is_same(self._keys):
            is_news = True
            self.generation += 1
            log.info("issuer_keys_changed", kids=found.keys.kids)
        self._keys = found.keys
        if is_news:
            self._changed()

    def _note_withdrawn(self, found: KeySet, began_at: float) -> bool:
        """Note which keys are there no more; returns whether there is a new one among them."""
        before = frozenset[str]() if self._keys is None else self._keys.marks
        missed = {mark for mark, asked_at in self._unknown.items() if asked_at < began_at}
        gone = (before | missed) - found.marks
        self._unknown = {
            mark: asked_at
            for mark, asked_at in self._unknown.items()
            if mark not in gone and mark not in found.marks
        }
        is_news = not gone <= self._withdrawn.keys()
        # A key that comes back counts again.
        known = {mark: None for mark in self._withdrawn if mark not in found.marks}
        self._withdrawn = known | dict.fromkeys(sorted(gone))
        _forget_oldest(self._withdrawn)
        return is_news

    def _pause(self) -> float:
        if self._failures:
            longest = min(_RETRY_SECONDS * 2 ** min(self._failures - 1, 10), _LONGEST_RETRY_SECONDS)
            return longest * random.uniform(0.75, 1.0)  # noqa: S311  spreads processes, protects nothing
        # Before the keys get old, and not all processes at once.
        return max(1.0, (self._refresh_at - self._clock()) * random.uniform(0.75, 0.9))  # noqa: S311


def _forget_oldest(marks: dict[str, Any]) -> None:
    while len(marks) > _MOST_MARKS:
        del marks[next(iter(marks))]
