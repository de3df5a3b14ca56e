"""The instants of triggers, above all where clocks are changed: compared with what every minute of the days shows."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.schemas.schedules import CronTrigger, IntervalTrigger, OnceTrigger, Trigger
from core.schedules.instants import CronInvalid, closest, first_after, instants_after, newest, once_at
from core.time_zones import ZoneUnknown, find_zone

MINUTE = timedelta(minutes=1)
CHANGES: list[tuple[str, datetime]] = [
    ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
    # By half an hour.
    ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)),
    # A whole day is left out.
    ("Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC)),
    # At midnight: the day begins at one.
    ("America/Sao_Paulo", datetime(2018, 11, 4, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 2, 18, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 15, tzinfo=UTC)),
    ("America/Nuuk", datetime(2026, 3, 28, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 5, 5, tzinfo=UTC)),
]


def cron(text: str, zone: str = "UTC") -> CronTrigger:
    return CronTrigger(type="cron", cron=text, timezone=zone)


def between(trigger: Trigger, start: datetime, end: datetime) -> list[datetime]:
    return list(takewhile(lambda instant: instant <= end, instants_after(trigger, start)))


def by_every_minute(text: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """Return what an expression means, by looking at each minute."""
    fields = CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
    minute, hour, *_ = text.split()

    def fits(local: datetime) -> bool:
        return local.minute in fields.minutes and local.hour in fields.hours

    found: set[datetime] = set()
    if minute.startswith("*") or hour.startswith("*"):
        instant = start + MINUTE
        while instant <= end:
            if fits(instant.astimezone(zone)):
                found.add(instant)
            instant += MINUTE
        return sorted(found)
    local = (start - timedelta(days=2)).replace(tzinfo=None)
    while local < (end + timedelta(days=2)).replace(tzinfo=None):
        if fits(local):
            shown = local
            while (instant := shown.replace(tzinfo=zone).astimezone(UTC)).astimezone(zone).replace(
                tzinfo=None
            ) != shown:
                shown += MINUTE
            if start < instant <= end:
                found.add(instant)
        local += MINUTE
    return sorted(found)


minutes = st.one_of(
    st.sampled_from(["*", "*/5", "*/7", "*/15", "*/30", "0", "30", "45", "59"]),
    st.lists(st.integers(0, 59), min_size=2, max_size=4).map(lambda each: ",".join(map(str, each))),
)
hours = st.one_of(
    st.sampled_from(["*", "*/2", "*/3", "0", "1", "2", "3", "23", "0-4"]),
    st.lists(st.integers(0, 5), min_size=2, max_size=3).map(lambda each: ",".join(map(str, each))),
)


@given(st.sampled_from(CHANGES), minutes, hours, st.integers(0, 2880))
def test_an_expression_fires_as_every_minute_of_the_days_says(
    change: tuple[str, datetime], minute: str, hour: str, begin: int
) -> None:
    name, day = change
    text = f"{minute} {hour} * * *"
    # From anywhere: what fires does not depend on where one looks from.
    start = day - timedelta(days=1) + begin * MINUTE
    end = day + timedelta(days=2)

    assert between(cron(text, name), start, end) == by_every_minute(text, find_zone(name), start, end)


@pytest.mark.parametrize(
    ("text", "zone", "day", "expected"),
    [
        # Left out: right after the gap, once, also if several are left out.
        ("30 2 * * *", "Europe/Berlin", "2026-03-29", ["01:00"]),
        ("0,15,30 2 * * *", "Europe/Berlin", "2026-03-29", ["01:00"]),
        ("30 2 * * *", "America/New_York", "2026-03-08", ["07:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03", ["15:30"]),
        # Twice: the first time.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25", ["00:30"]),
        ("30 1 * * *", "America/New_York", "2026-11-01", ["05:30"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04", ["14:45"]),
        # As often as: the hour that comes twice counts twice.
        ("30 * * * *", "Europe/Berlin", "2026-10-25", [f"{hour:02}:30" for hour in range(24)]),
        ("0 */6 * * *", "Europe/Berlin", "2026-03-29", ["04:00", "10:00", "16:00", "22:00"]),
    ],
)
def test_what_a_change_of_the_clock_means(text: str, zone: str, day: str, expected: list[str]) -> None:
    start = datetime.fromisoformat(f"{day}T00:00Z")

    found = between(cron(text, zone), start - MINUTE, start + timedelta(days=1) - MINUTE)

    assert [f"{instant:%H:%M}" for instant in found] == expected


def test_a_day_that_is_left_out_fires_when_it_is_over() -> None:
    found = between(
        cron("0 12 * * *", "Pacific/Apia"),
        datetime(2011, 12, 30, tzinfo=UTC),
        datetime(2011, 12, 31, 12, tzinfo=UTC),
    )

    # Friday's at the beginning of Saturday, then Saturday's.
    assert [f"{instant.astimezone(find_zone('Pacific/Apia')):%a %H:%M}" for instant in found] == [
        "Sat 00:00",
        "Sat 12:00",
    ]


@pytest.mark.parametrize(
    ("at", "zone", "expected"),
    [
        ("2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29T01:00:00+00:00"),
        ("2026-10-25T02:30:00", "Europe/Berlin", "2026-10-25T00:30:00+00:00"),
        ("2026-10-04T02:15:00", "Australia/Lord_Howe", "2026-10-03T15:30:00+00:00"),
        ("2011-12-30T12:00:00", "Pacific/Apia", "2011-12-30T10:00:00+00:00"),
        ("2026-07-01T12:00:00.25", "America/New_York", "2026-07-01T16:00:00.250000+00:00"),
        ("2026-07-01T12:00:00+02:00", None, "2026-07-01T10:00:00+00:00"),
    ],
)
def test_a_local_time_is_one_instant(at: str, zone: str | None, expected: str) -> None:
    trigger = OnceTrigger(type="once", at=datetime.fromisoformat(at), timezone=zone)
    instant = datetime.fromisoformat(expected)

    assert once_at(trigger.at, zone) == instant
    assert first_after(trigger, instant - MINUTE) == instant
    assert first_after(trigger, instant) is None


@given(st.integers(1, 10**7), st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_intervals_count_from_their_start(every: int, start: int, after: int) -> None:
    base = datetime(2026, 1, 1, tzinfo=UTC)
    begin = base + timedelta(seconds=start)
    trigger = IntervalTrigger(type="interval", every_seconds=every, start_at=begin)

    first, second = islice(instants_after(trigger, base + timedelta(seconds=after)), 2)

    assert first > base + timedelta(seconds=after)
    assert second - first == timedelta(seconds=every)
    assert (first - begin) % timedelta(seconds=every) == timedelta(0)
    # The first one of all is the start.
    assert first == max(begin, first)
    assert first - timedelta(seconds=every) <= max(base + timedelta(seconds=after), begin - MINUTE / 60)


@given(
    st.sampled_from(["* * * * *", "*/7 3 * * *", "30 2 * * MON", "0 0 1 * *", "0 0 29 2 *"]),
    st.integers(0, 400_000),
    st.integers(1, 40),
)
def test_the_newest_instants_are_the_last_of_all(text: str, length: int, most: int) -> None:
    after = datetime(2026, 1, 1, tzinfo=UTC)
    until = after + length * MINUTE if text != "* * * * *" else after + length % 3000 * MINUTE
    all_of_them = between(cron(text, "Europe/Berlin"), after, until)

    found = newest(cron(text, "Europe/Berlin"), after, until, most)

    assert found.instants == all_of_them[-most:]
    assert found.is_all == (len(all_of_them) <= most)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("61 * * * *", "Bad minute."),
        ("* 24 * * *", "Bad hour."),
        ("* * 0 * *", "Bad day-of-month."),
        ("* * * 13 *", "Bad month."),
        ("* * * * FUN", "Bad day-of-week."),
        ("*/0 * * * *", "Bad minute."),
        ("0 0 31 2 *", "Bad day-of-month."),
        ("* * * *", "It has 4 fields."),
        ("0 * * * * *", "It has 6 fields."),
        ("@daily", "It has 1 fields."),
        ("", "It has 0 fields."),
    ],
)
def test_what_is_no_expression_is_told(text: str, told: str) -> None:
    with pytest.raises(CronInvalid) as caught:
        first_after(cron(text), datetime(2026, 1, 1, tzinfo=UTC))

    assert str(caught.value).startswith(told)
    assert "minute, hour, day of month, month, day of week" in str(caught.value)


@given(st.text("0123456789*/,-#LWAMON ²٣.", max_size=40))
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    # Nothing else comes out of the library, and it comes back.
    with contextlib.suppress(CronInvalid):
        first_after(cron(text, "Europe/Berlin"), datetime(2026, 1, 1, tzinfo=UTC))
        closest(cron(text, "Europe/Berlin"))


def test_a_zone_that_does_not_exist_is_refused_with_those_that_may_be_meant() -> None:
    with pytest.raises(ZoneUnknown, match="Did you mean Europe/Berlin"):
        first_after(cron("* * * * *", "Berlin"), datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", MINUTE),
        ("*/15 * * * *", 15 * MINUTE),
        ("0,10 3 * * *", 10 * MINUTE),
        ("0 9 * * MON-FRI", timedelta(days=1)),
        ("59 23 1 * *", timedelta(days=28)),
        ("0 0,23 * * *", timedelta(hours=1)),
        # A thousand of them are later than the calendar goes.
        ("0 0 29 2 */7", timedelta(days=28 * 365 + 7)),
        ("0 0 29 2 *", timedelta(days=4 * 365 + 1)),
    ],
)
def test_the_shortest_time_between_two_instants(text: str, expected: timedelta) -> None:
    assert closest(cron(text)) == expected
