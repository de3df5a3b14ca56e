"""One thread for work that would stall the event loop: one job at a time, and the users take turns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class FairThread:
    """A thread that serves its users in turn.

    A second thread would not help: Python runs one at a time, and the event loop would be one of three. A user's jobs
    run in order; a user with one job waits for at most one job of each other user.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._busy = False
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        """The users, the next one first."""

    async def run(self, user: Hashable, job: Callable[[], T]) -> T:
        """Run a job in the thread and return its result.

        A cancelled caller gives its turn back at once; a job that runs already ends before the next one starts.
        """
        await self._turn(user)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, job)
        finally:
            self._pass_on()

    def close(self) -> None:
        """Stop the thread when its job has ended."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, user: Hashable) -> None:
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The turn came together with the cancellation.
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            user, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[user] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False
