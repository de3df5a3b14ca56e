"""When a worker looks for turns: by what it knows, what it has heard, and what went wrong."""

from __future__ import annotations

from typing import Any

import pytest

from core.agentscope.runtime.work import chores
from core.agentscope.runtime.work.chores import LATER_SECONDS, Turns

PERIOD = 5.0


class Table:
    """The turns as Postgres keeps them, on the clock of the test."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.next_at: dict[str, float] = {}
        self.asked = 0

    async def ask(self, _engine: Any, name: str, seconds: float) -> tuple[bool, float]:
        self.asked += 1
        left = self.next_at.get(name, 0.0) - self.now
        if left > 0:
            return False, left
        self.next_at[name] = self.now + seconds
        return True, 0.0


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table()
    monkeypatch.setattr(chores, "_ask", table.ask)
    return table


def turns(table: Table) -> Turns:
    engine: Any = None
    return Turns(engine, clock=lambda: table.now, later=lambda: LATER_SECONDS[1])


async def test_a_turn_that_is_not_due_is_asked_for_again_when_it_is(table: Table) -> None:
    first, second = turns(table), turns(table)
    assert await first.take("reap", PERIOD)
    assert not await second.take("reap", PERIOD)
    asked = table.asked
    while table.now < 1000 + PERIOD:
        assert not await second.take("reap", PERIOD)
        table.now += 0.5
    assert table.asked == asked

    table.now += LATER_SECONDS[1]
    assert await second.take("reap", PERIOD)


async def test_whoever_had_the_last_turn_looks_before_those_who_heard_of_it(table: Table) -> None:
    first, second = turns(table), turns(table)
    assert await first.take("reap", PERIOD)
    second.hear(b"first reap")
    assert table.asked == 1

    table.now += PERIOD
    assert second.wait_seconds("reap", PERIOD) > 0
    assert await first.take("reap", PERIOD)


async def test_when_the_one_who_did_it_is_gone_another_takes_the_next_turn(table: Table) -> None:
    first, second = turns(table), turns(table)
    assert await first.take("reap", PERIOD)
    second.hear(b"first reap")

    table.now += PERIOD + LATER_SECONDS[1]
    assert await second.take("reap", PERIOD)


async def test_a_worker_does_not_hear_itself(table: Table) -> None:
    mine = turns(table)
    assert await mine.take("reap", PERIOD)
    mine.hear(f"{mine._name} reap".encode())
    table.now += PERIOD
    assert mine.wait_seconds("reap", PERIOD) == 0


async def test_after_a_failure_others_look_first(table: Table) -> None:
    first, second = turns(table), turns(table)
    assert await first.take("reap", PERIOD)
    second.hear(b"first reap")
    first.step_back()

    table.now += PERIOD + LATER_SECONDS[1]
    assert first.wait_seconds("reap", PERIOD) > 0
    assert await second.take("reap", PERIOD)


async def test_a_worker_that_is_alone_goes_on_after_a_failure(table: Table) -> None:
    alone = turns(table)
    for _ in range(3):
        assert await alone.take("reap", PERIOD)
        alone.step_back()
        table.now += PERIOD + 2 * LATER_SECONDS[1]


async def test_a_time_far_away_is_not_believed_for_longer_than_a_period(table: Table) -> None:
    table.next_at["reap"] = table.now + 1_000_000
    mine = turns(table)
    assert not await mine.take("reap", PERIOD)
    assert mine.wait_seconds("reap", PERIOD) == pytest.approx(PERIOD + LATER_SECONDS[1])


@pytest.mark.parametrize("message", [b"", b"\xff\xfe", b"reap", b"a b c d", b"x" * 100_000])
async def test_what_is_no_message_of_a_worker_stops_no_chore(table: Table, message: bytes) -> None:
    mine = turns(table)
    mine.hear(message)
    assert await mine.take("reap", PERIOD)
