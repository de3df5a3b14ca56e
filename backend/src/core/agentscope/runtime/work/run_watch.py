"""Sees runs that hang, and a worker that cannot work any more.

A run ends within moments of its deadline: it is told to stop. One that goes on ignores that: code that catches every
cancellation, or waits in a thread. The reaper has ended it for its user; here it only occupies a place. A worker whose
places are all taken in this way would live for ever and do nothing, so it ends, and its supervisor starts another one.

While Postgres is away, a run that has heeded the stop looks the same: it waits to write its end. So the worker has as
much patience as its runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0


class WorkerStuck(Exception):
    """This process cannot work any more."""


class Runs(Protocol):
    """The runs of a worker process."""

    def hung(self) -> list[int]:
        """Return the rows of the runs that go on long after their deadline."""
        ...


class Beating(Protocol):
    """What renews the leases."""

    @property
    def alive(self) -> bool: ...


class RunWatch:
    """Looks at the runs of a process every few seconds.

    Args:
        runs: Of the process.
        heartbeat: Of the process.
        places: How many runs it can execute at once.
        patience_seconds: How long all of them may hang: as long as the end of a run may wait for Postgres.
        look_seconds: How often it looks.
        clock: Seconds.
    """

    def __init__(
        self,
        runs: Runs,
        heartbeat: Beating,
        *,
        places: int,
        patience_seconds: float,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runs = runs
        self._heartbeat = heartbeat
        self._places = places
        self._patience_seconds = patience_seconds
        self._look_seconds = look_seconds
        self._clock = clock
        self._full_since: float | None = None
        """Since when all places are taken by runs that hang."""
        self._told: set[int] = set()

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            WorkerStuck: The process cannot work any more.
        """
        while True:
            await asyncio.sleep(self._look_seconds)
            self.look()

    def look(self) -> None:
        """Look once.

        Raises:
            WorkerStuck: The process cannot work any more.
        """
        hung = self._runs.hung()
        for run_pk in set(hung) - self._told:
            log.error(
                "run_hung", run=run_pk, reason="it goes on although its time is up, and ignores the stop"
            )
        self._told = set(hung)
        if len(hung) < self._places:
            self._full_since = None
        else:
            now = self._clock()
            self._full_since = now if self._full_since is None else self._full_since
            if now - self._full_since >= self._patience_seconds:
                raise WorkerStuck(f"all {self._places} runs of this worker hang")
        if not self._heartbeat.alive:
            raise WorkerStuck("the thread that renews the leases has ended")
