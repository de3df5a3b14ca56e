"""What a process knows of the database's epoch."""

from __future__ import annotations

from core.agentscope.events.epoch_watch import Epoch


def test_any_run_may_be_an_old_one_before_the_first_look() -> None:
    epoch = Epoch()
    assert epoch.is_older(1)
    assert epoch.is_older(2_000_001)
    assert not epoch.see(1_000_000)
    assert epoch.is_older(1_000_000)
    assert not epoch.is_older(1_000_001)


def test_an_epoch_begins_when_the_floor_is_another_one() -> None:
    epoch = Epoch()
    assert [epoch.see(floor) for floor in (0, 0, 1_000_000, 1_000_000, 2_000_000)] == [
        False,
        False,
        True,
        False,
        True,
    ]
    assert epoch.begun == 2
