"""A reader's position in a thread: ``<run ordinal>-<seq>``.

The same value is the SSE ``id``, the primary key of the event row and the explicit id of the Redis stream entry. So
Redis itself refuses repeated entries and entries of fenced writers. See docs/adr/0002.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

RESTORE_STEP = 1_000_000
"""After a restore, the runs of every thread are counted on from the next multiple of this. So no cursor of what was lost
names an event of what comes: see docs/adr/0061."""
_FORM = re.compile(r"(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,17})", re.ASCII)
_REMAINING = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """The last event a reader has seen; ``seq`` 0 is the place before a run's first event."""

    ordinal: int
    seq: int

    START: ClassVar[Cursor]

    @property
    def begins_after_restore(self) -> bool:
        """Whether this is where a thread stood when its database was restored: no run has this ordinal."""
        return self.ordinal > 0 and self.seq == 0 and self.ordinal % RESTORE_STEP == 0

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor; ``parse(str(cursor)) == cursor``.

        Raises:
            ValueError: The text is not a cursor in canonical form.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError("a cursor is '<run ordinal>-<sequence>', for example 3-17")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.ordinal}-{self.seq}"


Cursor.START = Cursor(0, 0)


@dataclass(frozen=True, slots=True)
class ConnectCursor:
    """The last event that a reader of a connect stream has seen.

    A connect stream opens with events that are not in the log. They share the cursor of the log's newest event that
    they tell of, and count down: ``3-17.2``, ``3-17.1``, ``3-17``. So the last one of them is an ordinary cursor.
    """

    cursor: Cursor
    remaining: int = 0
    """How many events of the opening come after this one."""

    @classmethod
    def parse(cls, text: str) -> ConnectCursor:
        """Read an id of a connect stream; ``parse(str(place)) == place``.

        Raises:
            ValueError: The text is not such an id.
        """
        place, dot, remaining = text.partition(".")
        if dot and not _REMAINING.fullmatch(remaining):
            raise ValueError(
                "an id of a connect stream is a cursor, or '<cursor>.<number>', for example 3-17.2"
            )
        return cls(Cursor.parse(place), int(remaining or 0))

    def __str__(self) -> str:
        return f"{self.cursor}.{self.remaining}" if self.remaining else str(self.cursor)
