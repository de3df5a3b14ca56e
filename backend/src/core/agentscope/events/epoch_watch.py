"""Notices in an API process that the database has begun an epoch (``events/epoch.py``), and ends the streams of before.

Their clients come back with their cursors, and each is exact or refused. A stream that is left open could wait for a run
that was lost. It would not go astray: a reader that comes across an epoch looks by itself whether its place is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from core.agentscope.schemas.cursor import RESTORE_STEP, Cursor
from core.outage import report_failure

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Epoch:
    """What a process knows of the epoch."""

    floor: int = 0
    """Of older runs, Redis may know what the database has lost."""
    begun: int = 0
    """How many epochs this process has seen begin."""


class EpochWatch:
    """Looks now and then.

    Args:
        floor: Asks the database.
        epoch: Is told.
        streams: How many streams there are; without any, nobody is asked.
        wake: Wakes every stream.
        seconds: Pause between two looks.
    """

    def __init__(
        self,
        floor: Callable[[], Awaitable[int]],
        epoch: Epoch,
        *,
        streams: Callable[[], int],
        wake: Callable[[], None],
        seconds: float,
    ) -> None:
        self._floor = floor
        self._epoch = epoch
        self._streams = streams
        self._wake = wake
        self._seconds = seconds
        self._knows = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            if not self._streams():
                continue
            try:
                self.see(await self._floor())
            except Exception as exc:  # noqa: BLE001  top of a background loop: Postgres may be away
                report_failure("epoch_unknown", exc)

    def see(self, floor: int) -> None:
        """Take note of the floor of the database."""
        before, self._epoch.floor = self._epoch.floor, floor
        if self._knows and floor != before:
            self._epoch.begun += 1
            log.warning("epoch_begun", floor=floor)
            self._wake()
        self._knows = True


def crosses_epoch(position: Cursor, ordinal: int) -> bool:
    """Say whether a run is of a later epoch than the place of a reader."""
    return position != Cursor.START and ordinal // RESTORE_STEP > position.ordinal // RESTORE_STEP
