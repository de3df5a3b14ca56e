"""Which instants are fired, which are missed: nothing twice, nothing lost, for any times at which workers look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.schemas.schedules import ScheduleForm
from core.schedules.instants import instants_after
from core.schedules.planning import MissedInstants, next_instant, plan

START = datetime(2026, 10, 24, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def form(**members: Any) -> ScheduleForm:
    values = {
        "trigger": {"type": "cron", "cron": "*/10 * * * *", "timezone": "Europe/Berlin"},
        "message": "m",
    }
    return ScheduleForm.model_validate(values | members)


forms = st.builds(
    form,
    trigger=st.sampled_from(
        [
            {"type": "cron", "cron": "*/10 * * * *", "timezone": "Europe/Berlin"},
            {"type": "cron", "cron": "30 2 * * *", "timezone": "Europe/Berlin"},
            {"type": "interval", "everySeconds": 3600, "startAt": START.isoformat()},
            {"type": "once", "at": (START + 90 * MINUTE).isoformat()},
        ]
    ),
    missed=st.sampled_from(["skip", "latest", "all"]),
    graceSeconds=st.sampled_from([10, 600, 86_400]),
    maxAtOnce=st.sampled_from([1, 3, 100]),
    maxFires=st.sampled_from([None, 1, 5]),
    endAt=st.sampled_from([None, (START + timedelta(hours=9)).isoformat()]),
)


@given(forms, st.lists(st.integers(1, 600), min_size=1, max_size=12))
def test_every_instant_is_fired_once_or_missed(form: ScheduleForm, pauses: list[int]) -> None:
    decided, fired, next_at = START, 0, next_instant(form, START, 0)
    due: list[datetime] = []
    missed = 0
    for pause in pauses:
        now = decided + pause * MINUTE
        if next_at is None or next_at > now:
            continue
        planned = plan(form, decided, now, fired)
        assert len(planned.due) <= form.max_at_once
        assert all(decided < instant <= now for instant in planned.due)
        if form.missed == "skip":
            assert all(now - instant <= timedelta(seconds=form.grace_seconds) for instant in planned.due)
        assert planned.next_at is None or planned.next_at > now
        if planned.missed is not None:
            assert planned.missed.count is not None
            missed += planned.missed.count
        due += planned.due
        fired += len(planned.due)
        decided, next_at = now, planned.next_at

    assert all(earlier < later for earlier, later in pairwise(due))
    assert form.max_fires is None or len(due) <= form.max_fires
    until = decided if form.end_at is None else min(decided, form.end_at)
    of_all = list(takewhile(lambda instant: instant <= until, instants_after(form.trigger, START)))
    assert set(due) <= set(of_all)
    if form.max_fires is None:
        assert len(due) + missed == len(of_all)


def test_what_is_too_late_is_missed_and_told() -> None:
    found = plan(form(graceSeconds=900), START, START + timedelta(hours=2, seconds=1), 0)

    late = START + timedelta(hours=2)
    assert found.due == (late - 10 * MINUTE, late)
    assert found.missed == MissedInstants(START + 10 * MINUTE, late - 20 * MINUTE, 10)
    assert found.next_at == late + 10 * MINUTE


def test_the_latest_is_fired_however_late_it_is() -> None:
    daily = {"type": "cron", "cron": "0 6 * * *", "timezone": "UTC"}

    found = plan(form(missed="latest", trigger=daily), START, START + timedelta(days=3), 0)

    assert found.due == (datetime(2026, 10, 27, 6, tzinfo=UTC),)
    assert found.missed == MissedInstants(
        datetime(2026, 10, 25, 6, tzinfo=UTC), datetime(2026, 10, 26, 6, tzinfo=UTC), 2
    )


def test_a_long_outage_does_not_take_long_to_plan() -> None:
    every_minute = {"type": "cron", "cron": "* * * * *", "timezone": "Europe/Berlin"}

    found = plan(
        form(trigger=every_minute, missed="all", maxAtOnce=100), START, START + timedelta(days=400), 0
    )

    assert len(found.due) == 100
    assert found.missed == MissedInstants(START + MINUTE, found.due[0] - MINUTE, None)


@pytest.mark.parametrize(
    ("fired", "due", "next_at"), [(0, 3, None), (2, 1, None), (3, 0, None)], ids=["all", "one", "none"]
)
def test_a_schedule_ends_with_its_last_fire(fired: int, due: int, next_at: None) -> None:
    found = plan(form(missed="all", maxFires=3), START, START + timedelta(hours=1), fired)

    assert (len(found.due), found.next_at) == (due, next_at)
    assert found.missed is None
