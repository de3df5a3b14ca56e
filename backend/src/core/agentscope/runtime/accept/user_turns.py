"""At most so many requests of one user are accepted at the same time in a process; the others wait in memory.

Without it, a user with a thousand requests at once holds every connection of the process, and everybody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from core.errors import RateLimited
from core.identity import Principal

AT_ONCE = 2
"""Two, so that a request that waits for a locked thread does not hold up the user's other threads."""


@dataclass(slots=True)
class _User:
    at_work: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    requests: int = 0


class UserTurns:
    """The requests of a process that wait or are being accepted, by user.

    Args:
        max_requests: Of one user, those being accepted included. Further requests are refused at once.
    """

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max(max_requests, AT_ONCE)
        self._users: dict[Principal, _User] = {}

    @asynccontextmanager
    async def turn(self, principal: Principal) -> AsyncIterator[None]:
        """Wait for the user's turn, and keep it while the context is open.

        Raises:
            RateLimited: Too many requests of the user wait already.
        """
        user = self._users.setdefault(principal, _User())
        if user.requests >= self._max_requests:
            raise RateLimited(
                "Too many of your requests are being accepted at once. Send fewer at a time.",
                retry_after_seconds=1.0,
            )
        user.requests += 1
        try:
            async with user.at_work:
                yield
        finally:
            user.requests -= 1
            if not user.requests:
                del self._users[principal]
