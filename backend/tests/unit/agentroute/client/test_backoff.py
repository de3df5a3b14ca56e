"""The waits of the client: at random, growing, and never shorter than the service asks for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.client.backoff import CAP_SECONDS, pause, retry_after_seconds


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 100))
def test_a_wait_is_within_its_bounds(failures: int, drawn: float, at_least: float) -> None:
    seconds = pause(failures, base_seconds=2, at_least_seconds=at_least, random=lambda: drawn)
    assert at_least <= seconds <= at_least + CAP_SECONDS


def test_waits_double_up_to_the_cap() -> None:
    assert [pause(each, base_seconds=2, random=lambda: 1.0) for each in range(1, 7)] == [2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("Fri, 27 Nov 2026 18:00:30 GMT", 30.0),
        ("Fri, 27 Nov 2026 17:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_reads_when_to_come_back(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 27, 18, tzinfo=UTC)
    assert retry_after_seconds({"retry-after": value}, now=now) == seconds
    assert retry_after_seconds({}) is None
