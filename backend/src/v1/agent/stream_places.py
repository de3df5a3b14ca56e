"""How many event streams one user and one tenant have open in this process.

A place is taken before anything is done for a stream, so requests that come together can not all find the last place
free. It is given back on every way a stream can go: it could not be opened, it has ended, its client has left, or its
answer was never sent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from core.agentscope.events.thread_stream import Outlet
from core.config import RateSettings
from core.errors import RateLimited
from core.gate import soon
from core.identity import Principal
from v1.agent.parking import attach, close

Key = TypeVar("Key")


class StreamPlace:
    """The place of one stream, taken.

    Args:
        leave: Gives it back. ``None``: this reader has no limit.
    """

    __slots__ = ("_leave",)

    def __init__(self, leave: Callable[[], None] | None) -> None:
        self._leave = leave

    def keep_for(self, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Return the frames, which hold the place from now on: until they are closed, have ended or are forgotten."""
        if (leave := self._leave) is None:
            return frames
        self._leave = None
        return _CountedStream(frames, leave)

    def give_back(self) -> None:
        """Give the place back, unless frames hold it."""
        if (leave := self._leave) is not None:
            self._leave = None
            leave()


class StreamPlaces:
    """Counts open streams. Local mode has one user and no limit.

    Args:
        settings: How many; 0 is no limit.
    """

    def __init__(self, settings: RateSettings) -> None:
        self._most = (settings.user_streams, settings.tenant_streams)
        self._users: Counter[Principal] = Counter()
        self._tenants: Counter[str] = Counter()

    @contextmanager
    def take(self, principal: Principal) -> Iterator[StreamPlace]:
        """Take a place for a stream that is opened in this context; what the frames did not get comes back at its end.

        Raises:
            RateLimited: The user or the tenant has too many already; nothing was done.
        """
        place = self._taken(principal)
        try:
            yield place
        finally:
            place.give_back()

    def _taken(self, principal: Principal) -> StreamPlace:
        of_user, of_tenant = self._most
        if principal.trusted or not (of_user or of_tenant):
            return StreamPlace(None)
        if of_user and self._users[principal] >= of_user:
            raise _refusal("You have", of_user)
        if of_tenant and self._tenants[principal.tenant_id] >= of_tenant:
            raise _refusal("Your organisation has", of_tenant)
        self._users[principal] += 1
        self._tenants[principal.tenant_id] += 1
        return StreamPlace(lambda: self._leave(principal))

    def _leave(self, principal: Principal) -> None:
        _take_away(self._users, principal)
        _take_away(self._tenants, principal.tenant_id)


def _take_away(counter: Counter[Key], key: Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


class _CountedStream:
    __slots__ = ("_frames", "_leave")

    def __init__(self, frames: AsyncIterator[bytes], leave: Callable[[], None]) -> None:
        self._frames = frames
        self._leave: Callable[[], None] | None = leave

    def __aiter__(self) -> Self:
        return self

    def attach(self, outlet: Outlet, wake_at: float = math.inf) -> bool:
        return attach(self._frames, outlet, wake_at)

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._frames)
        except StopAsyncIteration:
            self._left()
            raise

    async def aclose(self) -> None:
        """Stop reading."""
        self._left()
        await close(self._frames)

    def __del__(self) -> None:
        # An answer that was never sent closes nothing.
        self._left()

    def _left(self) -> None:
        if (leave := self._leave) is not None:
            self._leave = None
            leave()


def _refusal(who: str, most: int) -> RateLimited:
    return RateLimited(
        f"{who} {most} open event streams, which is the limit. Close one, or come back after the time in Retry-After.",
        retry_after_seconds=soon(),
    )
