"""What a schedule may be: refusals say which member is wrong, and how to correct it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson

from core.agentscope.schemas.agent_runtime import RunOptions
from core.agentscope.schemas.messages import UserMessage
from core.agentscope.schemas.schedules import (
    CronTrigger,
    IntervalTrigger,
    OnceTrigger,
    ScheduleForm,
    command_of,
)
from core.config import LimitSettings
from core.errors import InvalidRequest, LimitExceeded
from core.schedule_settings import ScheduleSettings
from core.schedules.instants import CronInvalid, closest, once_at
from core.schedules.planning import next_instant
from core.time_zones import ZoneUnknown, find_zone
from core.validation import from_errors

MOST_BYTES = 64 << 10
"""Of a schedule: its message, context and options are stored with it."""
_MOST_AHEAD = timedelta(days=3660)
_OWN_OPTIONS = frozenset(RunOptions.model_fields[name].alias or name for name in RunOptions.model_fields)


def checked_form(
    form: ScheduleForm, settings: ScheduleSettings, limits: LimitSettings, now: datetime, fired: int = 0
) -> tuple[ScheduleForm, datetime]:
    """Return a form that can be stored, and its next instant.

    Args:
        form: As its owner wants it.
        settings: Of this deployment.
        limits: Of this deployment.
        now: The time of the database.
        fired: How many instants the schedule has fired.

    Raises:
        InvalidRequest, LimitExceeded: ``errors`` says which member.
    """
    check_input(form, limits)
    form = _with_start(form, now)
    _check_times(form, now)
    try:
        shortest = closest(form.trigger)
        instant = next_instant(form, now, fired)
    except CronInvalid as exc:
        raise _wrong("/trigger/cron", str(exc)) from exc
    if shortest is not None and shortest < timedelta(seconds=settings.min_interval_seconds):
        place = "/trigger/everySeconds" if isinstance(form.trigger, IntervalTrigger) else "/trigger/cron"
        told = f"It would fire every {shortest.total_seconds():.0f} seconds; at most every {settings.min_interval_seconds} are allowed."
        raise LimitExceeded(told, errors=[{"pointer": place, "message": told}])
    if instant is None:
        raise _never(form)
    return form, instant


def check_input(form: ScheduleForm, limits: LimitSettings) -> None:
    """Refuse what the runs of a schedule cannot be given.

    Raises:
        InvalidRequest, LimitExceeded: ``errors`` says which member.
    """
    if taken := sorted(_OWN_OPTIONS & form.forwarded_props.keys()):
        told = "Options of this service are members of the schedule: agentId, onBusy."
        raise from_errors({"pointer": f"/forwardedProps/{name}", "message": told} for name in taken)
    size = len(orjson.dumps(form.wire()))
    if size > MOST_BYTES:
        told = (
            f"The schedule has {size} bytes; at most {MOST_BYTES} are allowed. Upload files, and name them."
        )
        raise LimitExceeded(told, errors=[{"pointer": "/message", "message": told}])
    (message,) = command_of(form, "check").messages
    text = len(message.text().encode()) if isinstance(message, UserMessage) else 0
    if text > limits.max_message_bytes:
        told = f"{text} bytes of text in one message; at most {limits.max_message_bytes} are allowed"
        raise LimitExceeded(told, errors=[{"pointer": "/message", "message": told}])


def _with_start(form: ScheduleForm, now: datetime) -> ScheduleForm:
    trigger = form.trigger
    if not isinstance(trigger, IntervalTrigger) or trigger.start_at is not None:
        return form
    start = now + timedelta(seconds=trigger.every_seconds)
    return form.model_copy(update={"trigger": trigger.model_copy(update={"start_at": start})})


def _check_times(form: ScheduleForm, now: datetime) -> None:
    trigger = form.trigger
    if isinstance(trigger, IntervalTrigger) and trigger.start_at is not None:
        _check_near("/trigger/startAt", trigger.start_at, now)
    if form.end_at is not None:
        _check_near("/endAt", form.end_at, now)
    if isinstance(trigger, OnceTrigger):
        if trigger.at.tzinfo is None and trigger.timezone is None:
            raise _wrong("/trigger/at", "Add an offset, such as +02:00 or Z, or name a timezone.")
        if trigger.at.tzinfo is not None and trigger.timezone is not None:
            raise _wrong("/trigger/timezone", "The time has an offset already: leave the timezone out.")
        _check_near("/trigger/at", trigger.at, now)
        if trigger.timezone is not None:
            _check_zone(trigger.timezone)
        if once_at(trigger.at, trigger.timezone) <= now:
            raise _wrong("/trigger/at", "The time is over. Give one that is still to come.")
    if isinstance(trigger, CronTrigger):
        _check_zone(trigger.timezone)


def _check_zone(name: str) -> None:
    try:
        find_zone(name)
    except ZoneUnknown as exc:
        raise _wrong("/trigger/timezone", f"There is no such time zone. {exc.hint}") from exc


def _check_near(place: str, time: datetime, now: datetime) -> None:
    # Before anything computes with it: at the ends of the calendar, a time zone leads out of it.
    local = now if time.tzinfo is not None else now.replace(tzinfo=None)
    if not local - _MOST_AHEAD < time < local + _MOST_AHEAD:
        raise _wrong(place, "The time is more than ten years away.")


def _never(form: ScheduleForm) -> InvalidRequest:
    if form.end_at is not None:
        return _wrong("/endAt", "The schedule would end before its first fire.")
    if form.max_fires is not None:
        return _wrong("/maxFires", "The schedule has fired as often already. Give a larger number.")
    return _wrong("/trigger", "The schedule would never fire: no day in the next 50 years fits.")


def _wrong(place: str, why: str) -> InvalidRequest:
    return from_errors([{"pointer": place, "message": why}])
