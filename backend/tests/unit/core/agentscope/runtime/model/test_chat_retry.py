"""Retries: which failures pass, and how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.agentscope.runtime.model.chat_retry import (
    delay_seconds,
    is_transient,
    retry_after_seconds,
    spoken_time,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_busy_provider_is_asked_again(status: int) -> None:
    assert is_transient(status, {})


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 413, 422])
def test_a_wrong_request_is_not_repeated(status: int) -> None:
    assert not is_transient(status, {})


def test_the_provider_may_know_better() -> None:
    assert not is_transient(429, {"x-should-retry": "false"})
    assert is_transient(400, {"x-should-retry": "true"})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"llm_provider-retry-after": "7"}, 7),
        ({"llm_provider-retry-after": "7", "retry-after": "2"}, 2),
    ],
)
def test_how_long_the_provider_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers, lambda: NOW) == seconds


@settings(deadline=None)  # a busy machine is not a failure
@given(retry=st.integers(1, 10), asked=st.none() | st.floats(0, 1e6), dice=st.floats(0, 1, exclude_max=True))
def test_a_wait_is_as_long_as_asked_for_and_never_over_thirty_seconds(
    retry: int, asked: float | None, dice: float
) -> None:
    wait = delay_seconds(retry, asked, lambda: dice)
    assert min(asked or 0, 30) <= wait <= 30


def test_waits_grow_and_are_spread() -> None:
    assert [delay_seconds(retry, None, lambda: 0.5) for retry in range(1, 7)] == [0.25, 0.5, 1, 2, 4, 4]
    assert delay_seconds(3, None, lambda: 0.0) == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (31, "31 seconds"),
        (60, "1 minute"),
        (89.5, "90 seconds"),
        (91, "2 minutes"),
        (3600, "1 hour"),
        (5401, "2 hours"),
        (86_400, "1 day"),
        (200_000, "3 days"),
    ],
)
def test_a_long_wait_is_told_as_people_say_it(seconds: float, said: str) -> None:
    assert spoken_time(seconds) == said
