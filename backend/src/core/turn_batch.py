"""Calls that come in the same turn of the event loop, made together: one statement for all of them, not one for each.

Rules:

1. Nothing waits for company: what came in one turn goes at the beginning of the next, beside the batches under way.
2. Each caller gets its own answer. What the batch leaves unanswered is asked alone, so the batch may decline anything.
3. If the batch fails, each call is made alone: one call at fault does not touch the others. If Postgres is unavailable,
   all callers are told so at once.
4. A caller that is cancelled does not stop the call.

See docs/adr/0035.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

import structlog

from core.store_failure import is_locked, is_lost_race, is_store_failure, is_time_limit

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MOST_TOGETHER = 32
"""Items of one batch."""


class TurnBatch(Generic[Item, Answer]):
    """Makes the calls of one kind.

    Args:
        alone: Makes one call.
        together: Makes several in one transaction, and returns the answers by the items' places. What it leaves out, it
            has not done.
    """

    def __init__(
        self,
        alone: Callable[[Item], Awaitable[Answer]],
        together: Callable[[Sequence[Item]], Awaitable[Mapping[int, Answer]]],
    ) -> None:
        self._alone = alone
        self._together = together
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: Item) -> Answer:
        """Make a call, together with the others of this turn.

        Raises:
            Exception: As ``alone``; as ``together`` when Postgres is unavailable.
            asyncio.CancelledError: The call was cancelled, as at the end of the process.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._begin)
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, answer))
        return await answer

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), MOST_TOGETHER):
            part = waiting[first : first + MOST_TOGETHER]
            self._spawn(self._one(*part[0]) if len(part) == 1 else self._many(part))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one(self, item: Item, answer: asyncio.Future[Answer]) -> None:
        try:
            result = await self._alone(item)
        except Exception as exc:  # noqa: BLE001  the caller's
            _fail(answer, exc)
        except BaseException:
            answer.cancel()
            raise
        else:
            _settle(answer, result)

    async def _many(self, part: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            results = await self._together([item for item, _ in part])
        except Exception as exc:  # noqa: BLE001  the callers'
            if is_store_failure(exc) and not (is_time_limit(exc) or is_locked(exc) or is_lost_race(exc)):
                for _, answer in part:
                    _fail(answer, exc)
                return
            log.warning("batch_failed", calls=len(part), error=type(exc).__name__)
            results = {}
        except BaseException:
            for _, answer in part:
                answer.cancel()
            raise
        for place, (item, answer) in enumerate(part):
            if place in results:
                _settle(answer, results[place])
            else:
                self._spawn(self._one(item, answer))


def _settle(answer: asyncio.Future[Answer], result: Answer) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[Answer], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
