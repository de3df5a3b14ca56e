"""One worker looks for fires that are due, and the others need not; unless there is much to do, or something fails."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.agentscope.runtime.work.chores import LATER_SECONDS, Turns
from core.schedules.firer import BATCH, LOOK_SECONDS, ScheduleFirer

NOBODY: Any = None


class LoudTurns(Turns):
    """Turns whose clock the test moves, and which say what they tell the others."""

    def __init__(self) -> None:
        super().__init__(NOBODY, clock=lambda: self.now, later=lambda: LATER_SECONDS[0])
        self.now = 1000.0
        self.told: list[str] = []

    def did(self, name: str, seconds: float, *, alone: bool = True) -> None:
        super().did(name, seconds, alone=alone)
        if alone:
            self.told.append(name)


@dataclass
class Store:
    """Rows of which so many are due."""

    due: int = 0
    looks: int = 0
    unread: int = 0

    async def has_work(self) -> bool:
        self.looks += 1
        return self.due > 0

    async def plan_due(self, _batch: int) -> Any:
        return SimpleNamespace(schedules=0, missed=0, unread=0)

    async def lease(self, batch: int) -> Any:
        taken, self.due = min(batch, self.due), max(self.due - batch, 0)
        unread, self.unread = self.unread, 0
        fires = [SimpleNamespace(fire=SimpleNamespace(fire_pk=1, attempts=1), is_overdue=False)] * taken
        return SimpleNamespace(fires=fires, unread=unread)


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Say what goes wrong with fires, by adding to the set."""
    failures: set[str] = set()

    async def fire(_self: object, _due: object) -> None:
        if failures:
            raise RuntimeError(*failures)

    monkeypatch.setattr(ScheduleFirer, "_try", fire)
    return failures


def worker_of(store: Store) -> tuple[ScheduleFirer, LoudTurns]:
    turns, rows = LoudTurns(), cast("Any", store)
    return ScheduleFirer(turns, rows, NOBODY, retention_days=1), turns


async def test_whoever_hears_that_another_looked_does_not_look_before_the_next_look_is_due() -> None:
    store = Store()
    firer, turns = worker_of(store)
    turns.hear(b"another fire")
    await firer.look_in_turn()
    assert store.looks == 0
    turns.now += LOOK_SECONDS + LATER_SECONDS[0]
    await firer.look_in_turn()
    assert (store.looks, turns.told) == (1, ["fire"])


@pytest.mark.usefixtures("fails")
@pytest.mark.parametrize(("due", "tells"), [(0, True), (BATCH - 1, True), (BATCH, False), (BATCH * 3, False)])
async def test_a_crowd_of_fires_is_for_all_workers(due: int, tells: bool) -> None:
    store = Store(due)
    firer, turns = worker_of(store)
    await firer.look_in_turn()
    assert (store.due, bool(turns.told)) == (0, tells)


@pytest.mark.usefixtures("fails")
async def test_what_this_version_cannot_read_is_for_the_other_workers() -> None:
    store = Store(1, unread=1)
    firer, turns = worker_of(store)
    await firer.look_in_turn()
    assert turns.told == []
    store.due = 1
    turns.now += LOOK_SECONDS
    await firer.look_in_turn()
    assert turns.told == ["fire"]


async def test_a_worker_whose_fires_fail_does_not_keep_the_others_away(fails: set[str]) -> None:
    fails.add("cut off")
    store = Store(1)
    firer, turns = worker_of(store)
    await firer.look_in_turn()
    assert turns.told == []
    fails.clear()
    turns.now += LOOK_SECONDS
    await firer.look_in_turn()
    assert turns.told == ["fire"]
