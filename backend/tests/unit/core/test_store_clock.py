"""The database's time on a machine with a wrong clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.store_clock import StoreClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_machine_s_wrong_clock_is_corrected_and_time_goes_on() -> None:
    machine = [NOON - timedelta(hours=3)]
    clock = StoreClock(lambda: machine[0])

    assert clock.now() == NOON - timedelta(hours=3)
    clock.set(NOON)
    machine[0] += timedelta(seconds=5)

    assert clock.now() == NOON + timedelta(seconds=5)
