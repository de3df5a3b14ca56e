"""Bounds the bytes of big bodies that a process holds at once: of one user, and of all users together.

Rules:

1. A body is admitted with its whole size before it is read. A body that is admitted can be completed, so bodies that
   are only half read never block each other.
2. A body that finds no room waits. Waiting users take turns; the bodies of one user are admitted in order.
3. A body that has waited too long is refused: 429 if the user's own bodies are in the way, otherwise 503.

See docs/adr/0027.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from core.errors import AgentBackendError, Overloaded, RateLimited
from core.gate import soon

_MAX_WAITING = 64
"""Waiting bodies of one user. More are refused at once: they would wait in vain."""


@dataclass(slots=True, eq=False)
class _Wait:
    size: int
    admitted: asyncio.Future[None]


class BodyAdmission:
    """The room of a process for big bodies.

    Args:
        user_bytes: For the bodies of one user.
        total_bytes: For all bodies.
        wait_seconds: How long a body waits for room.
    """

    def __init__(self, *, user_bytes: int, total_bytes: int, wait_seconds: float) -> None:
        self._user_bytes = user_bytes
        self._total_bytes = max(total_bytes, user_bytes)
        self._wait_seconds = wait_seconds
        self._held: Counter[Hashable] = Counter()
        self._total = 0
        self._waiting: OrderedDict[Hashable, deque[_Wait]] = OrderedDict()
        """The users, the next one first."""

    @property
    def held_bytes(self) -> int:
        """The bytes of all admitted bodies."""
        return self._total

    @asynccontextmanager
    async def room(self, user: Hashable, size: int) -> AsyncIterator[None]:
        """Hold room for a body of at most ``size`` bytes.

        Raises:
            RateLimited: The user's other bodies left no room in time.
            Overloaded: The bodies of all users left no room in time.
        """
        await self._enter(user, size)
        try:
            yield
        finally:
            self._leave(user, size)

    async def _enter(self, user: Hashable, size: int) -> None:
        queue = self._waiting.setdefault(user, deque())
        if len(queue) >= _MAX_WAITING:
            raise self._refusal(user, size)
        wait = _Wait(size, asyncio.get_running_loop().create_future())
        queue.append(wait)
        self._admit_waiting()
        try:
            async with asyncio.timeout(self._wait_seconds):
                await wait.admitted
        except BaseException as exc:
            if wait.admitted.done() and not wait.admitted.cancelled():
                # Admitted at the moment of the timeout: nobody else gives the room back.
                self._leave(user, size)
            else:
                self._remove(user, wait)
                # What stood behind it may fit.
                self._admit_waiting()
            if isinstance(exc, TimeoutError):
                raise self._refusal(user, size) from None
            raise

    def _leave(self, user: Hashable, size: int) -> None:
        self._total -= size
        self._held[user] -= size
        if not self._held[user]:
            del self._held[user]
        self._admit_waiting()

    def _admit_waiting(self) -> None:
        admitted = True
        while admitted:
            admitted = False
            for user in list(self._waiting):
                wait = self._waiting[user][0]
                if not self._fits_user(user, wait.size):
                    continue
                if not self._fits(wait.size):
                    # This user's turn stays: small bodies of others would otherwise always come first.
                    return
                self._remove(user, wait)
                if wait.admitted.cancelled():
                    continue
                self._total += wait.size
                self._held[user] += wait.size
                wait.admitted.set_result(None)
                admitted = True

    def _remove(self, user: Hashable, wait: _Wait) -> None:
        """Take a body out of its user's queue. The user goes to the end."""
        queue = self._waiting.pop(user, None)
        if queue is None:
            return
        with contextlib.suppress(ValueError):
            queue.remove(wait)
        if queue:
            self._waiting[user] = queue

    def _fits_user(self, user: Hashable, size: int) -> bool:
        return self._held[user] + size <= self._user_bytes

    def _fits(self, size: int) -> bool:
        return self._total + size <= self._total_bytes

    def _refusal(self, user: Hashable, size: int) -> AgentBackendError:
        if not self._fits_user(user, size):
            return RateLimited(
                f"The large bodies of a user may have {self._user_bytes} bytes at once. Send them one after the other.",
                retry_after_seconds=soon(),
            )
        return Overloaded(
            "The server is reading too many large bodies. Try again soon.", retry_after_seconds=soon()
        )
