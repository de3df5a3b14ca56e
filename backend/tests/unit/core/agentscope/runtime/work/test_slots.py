"""A worker's slots: nobody takes the last ones, and whoever has the fewest is next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.runtime.work.slots import Slots
from core.identity import Principal

USERS = [Principal("t", f"user-{number}") for number in range(4)]
HOG, OTHER, THIRD, _ = USERS


def fill(slots: Slots, user: Principal) -> int:
    """Take as many slots as a user gets."""
    taken = 0
    while slots.take(user):
        taken += 1
    return taken


@pytest.mark.parametrize(
    ("total", "share", "alone"),
    [
        (50, 0.75, 37),
        (50, 0.5, 25),
        (50, 1, 50),
        (4, 0.75, 3),
        (2, 0.75, 1),
        (2, 1, 2),
        (1, 0.75, 1),
        (1, 0.01, 1),
    ],
)
def test_one_user_gets_its_share_of_the_slots(total: int, share: float, alone: int) -> None:
    assert fill(Slots(total, share), HOG) == alone


def test_another_user_finds_room_beside_one_that_takes_all_it_gets() -> None:
    slots = Slots(50, 0.75)
    taken = [fill(slots, user) for user in USERS]

    assert taken == [37, 9, 3, 1]


def test_a_slot_that_comes_free_goes_to_the_user_with_the_fewest_runs() -> None:
    slots = Slots(4, 0.75)
    assert fill(slots, HOG) == 3
    for run_pk in (1, 2, 2):
        slots.remember(HOG, run_pk)
    assert slots.take_next() is None
    assert slots.take(OTHER)
    for run_pk in (8, 9):
        slots.remember(OTHER, run_pk)
    slots.remember(THIRD, 7)

    order = []
    for ends in (HOG, HOG, HOG):
        slots.give_back(ends)
        while (taken := slots.take_next()) is not None:
            order.append(taken)

    # Whoever has the fewest; the last slot goes to nobody who has one already.
    assert order == [(THIRD, 7), (HOG, 1)]


@given(
    total=st.integers(1, 12),
    share=st.sampled_from([0.25, 0.5, 0.75, 0.9]),
    steps=st.lists(st.tuples(st.sampled_from(USERS), st.booleans())),
)
def test_never_more_than_all_and_the_last_slot_goes_to_a_user_without_any(
    total: int, share: float, steps: list[tuple[Principal, bool]]
) -> None:
    slots = Slots(total, share)
    held = dict.fromkeys(USERS, 0)
    for user, takes in steps:
        if takes:
            held[user] += slots.take(user)
        elif held[user]:
            slots.give_back(user)
            held[user] -= 1
        assert sum(held.values()) == total - slots.free <= total
        # The last slot is only ever taken by a user who has no other.
        assert slots.free or 1 in held.values()


@pytest.mark.parametrize(("total", "share"), [(1, 0.75), (4, 0.75), (4, 1)])
def test_a_thousand_runs_of_one_user_delay_another_by_one_run_at_most(total: int, share: float) -> None:
    slots = Slots(total, share)
    running = fill(slots, HOG)
    for run_pk in range(1000):
        slots.remember(HOG, run_pk)
    if slots.take(OTHER):
        return  # at once
    slots.remember(OTHER, 5000)

    for _ in range(running):
        slots.give_back(HOG)
        if slots.take_next() == (OTHER, 5000):
            return
    raise AssertionError("a slot came free, and went to the user with the thousand runs")


def test_users_with_equally_many_runs_take_turns() -> None:
    slots = Slots(1, 0.75)
    slots.take(HOG)
    for user in (HOG, OTHER, THIRD):
        for run_pk in range(2):
            slots.remember(user, run_pk)

    order, ends = [], HOG
    for _ in range(6):
        slots.give_back(ends)
        taken = slots.take_next()
        assert taken is not None
        order.append(taken)
        ends = taken[0]

    assert order == [(OTHER, 0), (THIRD, 0), (HOG, 0), (OTHER, 1), (THIRD, 1), (HOG, 1)]


def test_when_too_many_are_remembered_the_user_with_the_most_loses_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.agentscope.runtime.work.slots.MAX_REMEMBERED", 3)
    slots = Slots(1, 0.75)
    for run_pk in (1, 2, 3):
        slots.remember(HOG, run_pk)
    slots.remember(OTHER, 9)
    slots.remember(HOG, 4)

    order = []
    while (taken := slots.take_next()) is not None:
        order.append(taken)
        slots.give_back(taken[0])
    assert order == [(HOG, 1), (OTHER, 9), (HOG, 2)]
