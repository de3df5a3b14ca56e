"""Token buckets: what is left, when it comes back, and what other processes took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rates import buckets as buckets_module
from core.rates.buckets import Bucket, Buckets, Rate

SIX = Rate("user-requests", 6, 60)
ADA, EVE = Bucket(SIX, ("ada",)), Bucket(SIX, ("eve",))


class Clock:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def buckets(clock: Clock) -> Buckets:
    return Buckets(clock)


@pytest.mark.parametrize(
    ("taken", "later", "left", "wait"),
    [
        (0, 0, 6, 0),
        (1, 0, 5, 0),
        (6, 0, 0, 10),
        (6, 9, 0, 1),
        (6, 10, 1, 0),
        (6, 60, 6, 0),
        (6, 6000, 6, 0),
        # More than there was: a debt.
        (9, 0, 0, 40),
        (9, 40, 1, 0),
    ],
)
def test_a_bucket_fills_again(
    buckets: Buckets, clock: Clock, taken: int, later: float, left: int, wait: float
) -> None:
    buckets.take(ADA, taken)
    clock.now += later

    level = buckets.level(ADA)
    assert (level.left, level.wait_seconds) == (left, pytest.approx(wait))
    assert buckets.level(EVE).left == 6


def test_what_is_given_back_can_be_taken_again(buckets: Buckets) -> None:
    buckets.take(ADA, 6)
    buckets.take(ADA, -1)

    assert buckets.level(ADA).left == 1


def test_what_others_took_empties_a_bucket_and_never_fills_it(buckets: Buckets) -> None:
    buckets.take(ADA, 2)
    buckets.learn(ADA, 50)
    assert buckets.level(ADA).left == 1

    buckets.learn(ADA, 0)
    assert buckets.level(ADA).left == 1


def test_full_buckets_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets_module, "SWEEP_AT", 100)
    buckets = Buckets(clock)
    for number in range(1000):
        clock.now += 1
        buckets.take(Bucket(SIX, (str(number),)))

    assert len(buckets._full_at) <= 100


@given(steps=st.lists(st.floats(0, 30), max_size=60))
def test_nobody_gets_more_than_a_full_bucket_and_what_comes_back(steps: list[float]) -> None:
    clock = Clock()
    buckets, begun, admitted = Buckets(clock), clock.now, 0
    for pause in steps:
        clock.now += pause
        if not buckets.level(ADA).wait_seconds:
            buckets.take(ADA)
            admitted += 1

    assert admitted <= 6 + (clock.now - begun) / 10 + 1e-6
