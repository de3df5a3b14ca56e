"""The clock of the database, as a process knows it.

Times that are stored are compared with the database's clock, also by other machines. A machine whose own clock is wrong
must not store a time of its own: a question would expire at once, or hours late.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def _machine_time() -> datetime:
    return datetime.now(UTC)


class StoreClock:
    """Tells the database's time: the machine's time and the difference that was seen last.

    Args:
        machine_time: The clock of this machine.
    """

    def __init__(self, machine_time: Callable[[], datetime] = _machine_time) -> None:
        self._machine_time = machine_time
        self._difference = timedelta()

    def set(self, database_time: datetime) -> None:
        """Note a time that the database has just told."""
        self._difference = database_time - self._machine_time()

    def now(self) -> datetime:
        """Return the database's time, as exact as the round trip of the last answer was short."""
        return self._machine_time() + self._difference
