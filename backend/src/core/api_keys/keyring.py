"""Checks API keys, with a memory of 30 seconds.

Rules:

1. A key that is known is checked without a query for ``REMEMBERED_SECONDS``. So a revocation is seen within that time
   everywhere, and at once in the process that made it (:meth:`Keyring.forget`).
2. A key that does not exist is remembered as long, apart from the others: made-up keys push out no real one.
3. One statement at a time asks for all keys that are wanted meanwhile. So a flood of made-up keys takes one connection.
4. A secret that does not match is looked up again, at most once a second and key: it may be newer than what is
   remembered.
5. Without Postgres, what is remembered counts for its 30 seconds. After that the answer is 503, never a guess.
6. Hashes are compared in constant time.

See docs/adr/0052.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from core.api_keys.key_form import PresentedKey, read_key
from core.api_keys.stored_key import StoredKey
from core.errors import InvalidToken

REMEMBERED_SECONDS = 30.0
_AGAIN_SECONDS = 1.0
_MOST_KNOWN = 10_000
_MOST_UNKNOWN = 10_000
"""Keys that are remembered; about 0.5 KiB each."""
_BATCH = 200
"""Keys of one statement."""
_UNKNOWN = "The API key is not known."

Kept = TypeVar("Kept")
Load = Callable[[Sequence[str]], Awaitable[Mapping[str, StoredKey]]]


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """What a good key says."""

    key_id: str
    version: int
    """Which of the key's secrets it is."""
    tenant_id: str
    user_id: str
    scopes: frozenset[str]
    valid_until: float | None
    """Unix time at which this secret ends; ``None``: never."""

    @property
    def credential_id(self) -> str:
        """Names the key and its secret. No secret itself."""
        return f"{self.key_id}.{self.version}"


class Keyring:
    """The API keys that a process has seen.

    Args:
        load: Returns the keys of ids; those that do not exist are left out.
        clock: Unix time.
        ticks: Time that never jumps, in seconds.
    """

    def __init__(
        self,
        load: Load,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._clock = clock
        self._ticks = ticks
        self._known: OrderedDict[str, tuple[StoredKey, float]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._asked: dict[str, asyncio.Future[StoredKey | None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._changed: set[str] = set()
        """Keys that were changed here while they were being read: what was read may be older."""
        self._uses: dict[str, datetime] = {}

    async def verify(self, text: str) -> KeyGrant:
        """Return what a key says.

        Raises:
            InvalidToken: It is malformed, unknown, revoked, expired or replaced. The detail says which.
            Exception: Of the database, which did not answer.
        """
        presented = read_key(text)
        key, read_at = await self._find(presented.key_id)
        secret = _secret_of(key, presented)
        if secret is None and key is not None and self._ticks() - read_at >= _AGAIN_SECONDS:
            key = await self._ask(presented.key_id)
            secret = _secret_of(key, presented)
        if key is None or secret is None:
            raise InvalidToken(_UNKNOWN)
        valid_until = _valid_until(key, secret)
        if refusal := _refusal(key, secret, valid_until, self._clock()):
            raise InvalidToken(refusal)
        self._uses[key.key_id] = datetime.fromtimestamp(self._clock(), UTC)
        return KeyGrant(
            key.key_id,
            secret,
            key.tenant_id,
            key.user_id,
            key.scopes,
            None if valid_until == math.inf else valid_until,
        )

    async def is_good(self, credential_id: str) -> bool:
        """Return whether a key that was good still is: not revoked, not expired, its secret not replaced."""
        return not await self.ended([credential_id])

    async def ended(self, credential_ids: Iterable[str]) -> set[str]:
        """Return which of these credentials are good no more. Asks for what is not remembered, many at once."""
        wanted = {credential_id: credential_id.partition(".")[::2] for credential_id in credential_ids}
        found = await asyncio.gather(*(self._find(key_id) for key_id, _ in wanted.values()))
        now = self._clock()
        return {
            credential_id
            for (credential_id, (_, version)), (key, _) in zip(wanted.items(), found, strict=True)
            if key is None or _refusal(key, int(version), _valid_until(key, int(version)), now)
        }

    def forget(self, key_id: str) -> None:
        """Look a key up anew the next time: it was changed."""
        self._known.pop(key_id, None)
        self._unknown.pop(key_id, None)
        self._changed.add(key_id)

    def take_uses(self) -> dict[str, datetime]:
        """Return when keys were used since the last call."""
        uses, self._uses = self._uses, {}
        return uses

    async def _find(self, key_id: str) -> tuple[StoredKey | None, float]:
        """Return a key and when it was read, in ticks."""
        now = self._ticks()
        if (known := self._known.get(key_id)) is not None and now - known[1] < REMEMBERED_SECONDS:
            self._known.move_to_end(key_id)
            return known
        if (at := self._unknown.get(key_id)) is not None and now - at < REMEMBERED_SECONDS:
            return None, at
        return await self._ask(key_id), self._ticks()

    async def _ask(self, key_id: str) -> StoredKey | None:
        answer = self._asked.get(key_id)
        if answer is None:
            answer = self._asked[key_id] = asyncio.get_running_loop().create_future()
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask_all(), name="api-keys")
        # Others may wait for the same answer: one that leaves does not take it from them.
        return await asyncio.shield(answer)

    async def _ask_all(self) -> None:
        try:
            while self._asked:
                await self._ask_some(list(itertools.islice(self._asked, _BATCH)))
        finally:
            self._asking = None
            for answer in self._asked.values():
                answer.cancel()
            self._asked.clear()

    async def _ask_some(self, key_ids: list[str]) -> None:
        self._changed.clear()
        read_at = self._ticks()
        try:
            found = await self._load(key_ids)
        except Exception as exc:  # noqa: BLE001  the callers'
            for key_id in key_ids:
                answer = self._asked.pop(key_id)
                answer.set_exception(exc)
                answer.exception()  # nobody may be left to see it
            return
        for key_id in key_ids:
            if key_id not in self._changed:
                self._remember(key_id, found.get(key_id), read_at)
                self._asked.pop(key_id).set_result(found.get(key_id))

    def _remember(self, key_id: str, key: StoredKey | None, read_at: float) -> None:
        if key is None:
            self._known.pop(key_id, None)
            _put(self._unknown, key_id, read_at, _MOST_UNKNOWN)
        else:
            self._unknown.pop(key_id, None)
            _put(self._known, key_id, (key, read_at), _MOST_KNOWN)


def _put(memory: OrderedDict[str, Kept], key_id: str, kept: Kept, most: int) -> None:
    memory[key_id] = kept
    memory.move_to_end(key_id)
    if len(memory) > most:
        memory.popitem(last=False)


def _secret_of(key: StoredKey | None, presented: PresentedKey) -> int | None:
    """Return which secret of a key was presented: its version; ``None`` if it is none of them."""
    if key is None:
        return None
    if hmac.compare_digest(key.digest, presented.digest):
        return key.version
    if key.previous_digest is not None and hmac.compare_digest(key.previous_digest, presented.digest):
        return key.version - 1
    return None


def _valid_until(key: StoredKey, version: int) -> float:
    """Return the Unix time at which a secret of a key ends."""
    own = math.inf if key.expires_at is None else key.expires_at.timestamp()
    if version == key.version:
        return own
    if version == key.version - 1 and key.previous_until is not None:
        return key.previous_until.timestamp()
    return -math.inf


def _refusal(key: StoredKey, version: int, valid_until: float, now: float) -> str | None:
    if key.revoked_at is not None:
        return "The API key was revoked."
    if now < valid_until:
        return None
    if version == key.version:
        return "The API key has expired."
    return "The API key was rotated, and the overlap with this secret has ended. Use the new secret."
