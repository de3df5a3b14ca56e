"""Erasures as an API process sees them: whose requests are refused, what is asked for, and what nobody works on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from core.errors import RateLimited
from core.identity import Principal
from core.outage import report_failure
from core.user_data.eraser import Eraser, ErasureWaits
from core.user_data.erasures import AskedBy, Erasure
from core.user_data.rows import RowEraser
from core.user_data_errors import BEING_ERASED, ErasureUnderWay

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""How soon a process refuses the requests of a user whose erasure began at another one. One statement by an index."""
AGAIN_SECONDS = 5.0
"""After a store did not answer."""
OWN_PAUSE = timedelta(days=1)
"""Between two erasures that one user asks for: today's budget is forgotten, too, and would otherwise never end."""


_TODAY = (
    "You have erased your data within a day, and have begun anew. Ask again after the time in Retry-After, "
    + "or ask the operator."
)


class ErasureDesk:
    """The erasures of one process. It completes also what another process has begun and left.

    Args:
        eraser: Of the process.
        clock: Seconds that never go back.
    """

    def __init__(self, eraser: Eraser, clock: Callable[[], float] = time.monotonic) -> None:
        self._eraser = eraser
        self._clock = clock
        self._users: set[tuple[str, str]] = set()
        self._tasks: dict[str, asyncio.Task[Erasure | None]] = {}
        self._waits: dict[str, str] = {}
        """What an erasure waits for."""
        self._not_before: dict[str, float] = {}

    def refuse(self, principal: Principal) -> None:
        """Refuse a request of a user who is being erased.

        Raises:
            ErasureUnderWay: The user is.
        """
        if (principal.tenant_id, principal.user_id) in self._users:
            raise ErasureUnderWay(BEING_ERASED)

    async def erase(
        self, principal: Principal, asked_by: AskedBy, *, within_seconds: float
    ) -> tuple[Erasure, str | None]:
        """Erase a user, or go on with it.

        Args:
            principal: Whom.
            asked_by: By what right.
            within_seconds: How long the caller waits. It goes on afterwards.

        Returns:
            The erasure as it is then, and what it waits for, if for anything.

        Raises:
            RateLimited: The user has asked for one today, and has come back since.
        """
        if asked_by == "owner" and (last := await self._own_of_today(principal)) is not None:
            return last, None
        erasure = await self._eraser.begin(principal, asked_by)
        task = self._work_on(erasure)
        await asyncio.wait({task}, timeout=within_seconds)
        now = await self._eraser.erasures.get(erasure.erasure_id)
        return now, None if now.finished_at is not None else self._waits.get(erasure.erasure_id)

    async def run(self) -> None:
        """Look for erasures until cancelled, and complete those that nobody works on."""
        try:
            while True:
                try:
                    await self.look()
                except Exception as exc:  # noqa: BLE001  top of a background loop
                    report_failure("erasures_not_seen", exc)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks.values())

    async def look(self) -> None:
        """Learn who is being erased, and go on with what nobody works on."""
        found = await self._eraser.erasures.unfinished()
        self._users = {(each.tenant_id, each.principal.user_id) for each in found}
        self._forget_all_but({each.erasure_id for each in found})
        for each in found:
            if each.erasure_id in self._tasks or self._clock() < self._not_before.get(each.erasure_id, 0.0):
                continue
            if await self._eraser.erasures.take(each.erasure_id):
                self._work_on(each)

    def _forget_all_but(self, under_way: set[str]) -> None:
        """Forget what is over: another process may have ended it."""
        for known in (self._waits, self._not_before):
            for name in known.keys() - under_way:
                del known[name]

    def _work_on(self, erasure: Erasure) -> asyncio.Task[Erasure | None]:
        if (known := self._tasks.get(erasure.erasure_id)) is not None:
            return known
        # Here at once; the other processes look each second.
        self._users.add((erasure.tenant_id, erasure.principal.user_id))
        task = asyncio.create_task(self._complete(erasure))
        self._tasks[erasure.erasure_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(erasure.erasure_id, None))
        return task

    async def _complete(self, erasure: Erasure) -> Erasure | None:
        name = erasure.erasure_id
        try:
            done = await self._eraser.complete(erasure)
        except ErasureWaits as exc:
            log.warning("erasure_waits", erasure=name, store=exc.store, error=repr(exc.__cause__))
            self._waits[name] = exc.store
        except Exception as exc:  # noqa: BLE001  it is tried again, and the log has it
            report_failure("erasure_failed", exc, erasure=name)
            self._waits[name] = "an error of the service"
        else:
            self._waits.pop(name, None)
            self._not_before.pop(name, None)
            self._users.discard((erasure.tenant_id, erasure.principal.user_id))
            return done
        self._not_before[name] = self._clock() + AGAIN_SECONDS
        return None

    async def _own_of_today(self, principal: Principal) -> Erasure | None:
        """Return the receipt of a user who has asked already and has nothing new; ``None``: there is something to erase."""
        last = await self._eraser.erasures.newest(principal)
        if last is None or last.asked_by != "owner" or last.finished_at is None:
            return None
        rows = RowEraser(self._eraser.erasures.engine, last.erasure_id, principal)
        if not await rows.left():
            return last
        if principal.trusted:
            return None
        wait = last.asked_at + OWN_PAUSE - datetime.now(UTC)
        if wait <= timedelta(0):
            return None
        raise RateLimited(
            _TODAY,
            retry_after_seconds=wait.total_seconds(),
        )
