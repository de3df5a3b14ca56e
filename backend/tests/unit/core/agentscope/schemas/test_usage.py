"""Periods of usage: dates and instants in, a half-open range out, refusals that name the parameter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.agentscope.schemas.usage import PeriodInvalid, UsagePeriod

NOW = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)


def at(day: int, hour: int = 0, *, month: int = 11, microsecond: int = 0) -> datetime:
    return datetime(2026, month, day, hour, microsecond=microsecond, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (NOW - timedelta(days=30), NOW)),
        ("2026-11-20", None, (at(20), NOW)),
        (None, "2026-11-22", (at(24, month=10), at(23))),
        ("2026-11-22", "2026-11-22", (at(22), at(23))),
        ("2026-11-20T12:00:00Z", "2026-11-20t13:00:00z", (at(20, 12), at(20, 13))),
        ("2026-11-20T12:00:00.25+02:00", "2026-11-21", (at(20, 10, microsecond=250_000), at(22))),
        ("2025-11-22", "2026-11-22", (datetime(2025, 11, 22, tzinfo=UTC), at(23))),
    ],
)
def test_a_period_is_half_open_and_utc(
    start: str | None, end: str | None, expected: tuple[datetime, datetime]
) -> None:
    period = UsagePeriod.parse(start, end, now=NOW)

    assert (period.start, period.end) == expected


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        ("yesterday", None, "from"),
        ("", None, "from"),
        ("2026-11-31", None, "from"),
        ("2026-11-20T12:00:00", None, "from"),
        ("2026-11-20T12:00:00 02:00", None, "from"),
        ("2026-11-20T25:00:00Z", None, "from"),
        ("20261120", None, "from"),
        (None, "2026-W47-1", "to"),
        (None, "9999-12-31", "to"),
        (None, "0001-01-01", "to"),
        (None, "0001-01-01T00:00:00+23:59", "to"),
        ("2026-11-23", None, "from"),
        ("2026-11-22", "2026-11-21", "from"),
        ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z", "from"),
        ("2025-11-21", "2026-11-22", "from"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(start: str | None, end: str | None, name: str) -> None:
    with pytest.raises(PeriodInvalid) as refused:
        UsagePeriod.parse(start, end, now=NOW)

    assert refused.value.name == name
