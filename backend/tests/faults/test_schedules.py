"""Several firers that are killed at random points, over a night in which clocks are changed: nothing doubled, nothing lost."""

from __future__ import annotations

from tests.faults.schedule_drill import play


async def test_no_fire_is_doubled_or_lost_while_firers_die(database_url: str) -> None:
    night = await play(database_url, schedules=14, firers=3, seed=1, pace=8000.0)

    assert night.faults == []
    assert night.accepted + night.missed == night.expected > 250
    # They did die, at named points and elsewhere, and what they had begun was tried again.
    assert night.deaths.get("crash point", 0) > 0
    assert night.deaths.get("killed", 0) > 0
    assert night.deaths.get("failed", 0) == 0
    assert night.tries > night.accepted
