"""What an API process knows of the database's epoch (``events/epoch.py``), so that the streams of before end.

Their clients come back with their cursors, and each is exact or refused. A stream that is left open could wait for a run
that was lost. It would not go astray: a reader that comes across an epoch looks by itself whether its place is there.
"""

from __future__ import annotations

import structlog

from core.agentscope.schemas.cursor import RESTORE_STEP, Cursor

log = structlog.get_logger(__name__)


class Epoch:
    """The epoch, as it was seen last."""

    __slots__ = ("begun", "floor")

    def __init__(self) -> None:
        self.floor: int | None = None
        """Of older runs, Redis may know what the database has lost; None before the first look."""
        self.begun = 0
        """How many epochs this process has seen begin."""

    def see(self, floor: int) -> bool:
        """Take note of the floor of the database; returns whether an epoch has begun since the last look."""
        before, self.floor = self.floor, floor
        if before is None or floor == before:
            return False
        self.begun += 1
        log.warning("epoch_begun", floor=floor)
        return True

    def is_older(self, ordinal: int) -> bool:
        """Say whether a run may be of an epoch before: so is any run, as long as nobody has looked."""
        return self.floor is None or ordinal <= self.floor


def crosses_epoch(position: Cursor, ordinal: int) -> bool:
    """Say whether a run is of a later epoch than the place of a reader."""
    return position != Cursor.START and ordinal // RESTORE_STEP > position.ordinal // RESTORE_STEP
