"""A call is booked although the deletion of its thread wins the race for the locks."""

from __future__ import annotations

from typing import Any, cast

import pytest
from sqlalchemy.exc import DBAPIError

from core.agentscope.events.ledger import ledger

FACTS: Any = object()


class Lost(Exception):
    """What asyncpg raises, as far as it is looked at."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def race(monkeypatch: pytest.MonkeyPatch, *states: str) -> list[str]:
    """Let the first tries end with these errors; returns the tries."""
    tries: list[str] = []

    async def record(*_: object, **__: object) -> None:
        tries.append("try")
        if len(tries) <= len(states):
            raise DBAPIError("INSERT", {}, cast("BaseException", Lost(states[len(tries) - 1])))

    monkeypatch.setattr(ledger, "_record_call_of_run", record)
    return tries


@pytest.mark.parametrize("states", [(), ("40P01",), ("40P01", "40001")])
async def test_a_lost_race_is_run_again(monkeypatch: pytest.MonkeyPatch, states: tuple[str, ...]) -> None:
    tries = race(monkeypatch, *states)
    await ledger.record_call_now(FACTS, FACTS, FACTS, FACTS)
    assert len(tries) == len(states) + 1


@pytest.mark.parametrize(("states", "count"), [(("40P01",) * 3, 3), (("42703",), 1), (("08006",), 1)])
async def test_other_errors_and_a_third_lost_race_are_raised(
    monkeypatch: pytest.MonkeyPatch, states: tuple[str, ...], count: int
) -> None:
    tries = race(monkeypatch, *states)
    with pytest.raises(DBAPIError):
        await ledger.record_call_now(FACTS, FACTS, FACTS, FACTS)
    assert len(tries) == count
