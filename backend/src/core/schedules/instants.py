"""The instants of a trigger. Pure; instants are aware times in UTC, and strictly increase.

Rules:

1. An interval counts seconds from its start. Time zones and daylight saving do not matter.
2. A cron expression is read as Debian's cron reads it, by the library CronSim. What changes of the clock mean:

   - If neither the minute nor the hour begins with ``*``, the expression names times of the local clock. A time that the
     clock leaves out (it is put forward) fires once, right after the gap; several of them fire once together. A time
     that comes twice (it is put back) fires once, the first time.
   - Otherwise it means "as often as": it follows the time that passes. Nothing fires for local times that are left out,
     and an hour that comes twice fires in both: every ten minutes stays every ten minutes.
3. A local time of ``once`` follows the first part of rule 2.

See docs/adr/0070.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from core.agentscope.schemas.schedules import CronTrigger, IntervalTrigger, Trigger
from core.time_zones import find_zone

_FIELDS = 5
_LONGEST_CHANGE = timedelta(hours=3)
"""No clock is put back further."""
_FORM = "Write five fields: minute, hour, day of month, month, day of week."
_LOOKED_AT_FROM, _LOOKED_AT_UNTIL = datetime(2024, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Twice what the rarest days need: a weekday's 29 February comes every 28 years."""
_MOST_LOOKED_AT = 1000
"""Instants in which two that are too close together show: all that a day can have, and some days."""


class CronInvalid(ValueError):
    """A text is no cron expression. The text of the error is for its user."""


def instants_after(trigger: Trigger, after: datetime) -> Iterator[datetime]:
    """Yield the instants of a trigger after a time, soonest first.

    Args:
        trigger: An interval has a start.
        after: Aware.

    Raises:
        CronInvalid, ZoneUnknown: The trigger has no instants, because it cannot be read.
    """
    if isinstance(trigger, CronTrigger):
        return _of_cron(trigger.cron, find_zone(trigger.timezone), after)
    if isinstance(trigger, IntervalTrigger):
        return _of_interval(trigger, after)
    return iter([at] if (at := once_at(trigger.at, trigger.timezone)) > after else [])


def first_after(trigger: Trigger, after: datetime) -> datetime | None:
    """Return the first instant after a time; ``None`` if there is none."""
    return next(instants_after(trigger, after), None)


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest instants of a period, in order."""

    instants: list[datetime]
    is_all: bool
    """Whether the period has no others."""


def newest(trigger: Trigger, after: datetime, until: datetime, most: int) -> Newest:
    """Return the newest instants of a period that may be long and have many.

    Args:
        trigger: As in :func:`instants_after`.
        after: The period begins behind this time.
        until: And ends with this one.
        most: How many at most.
    """
    span = timedelta(minutes=most)
    while True:
        # Only forwards, so that an instant does not depend on where one looks from: twice as far until it is enough.
        start = max(after, until - span)
        period = takewhile(lambda instant: instant <= until, instants_after(trigger, start))
        found = list(deque(period, maxlen=most + 1))
        if len(found) > most:
            return Newest(found[1:], is_all=False)
        if start <= after:
            return Newest(found, is_all=True)
        span *= 2


def closest(trigger: Trigger) -> timedelta | None:
    """Return the shortest time between two instants, without changes of the clock; ``None`` if there is one instant."""
    if isinstance(trigger, IntervalTrigger):
        return timedelta(seconds=trigger.every_seconds)
    if not isinstance(trigger, CronTrigger):
        return None
    # In UTC: the shortest time without changes of the clock.
    of_all = _of_cron(trigger.cron, find_zone("UTC"), _LOOKED_AT_FROM)
    found = islice(takewhile(lambda instant: instant < _LOOKED_AT_UNTIL, of_all), _MOST_LOOKED_AT)
    return min((later - earlier for earlier, later in pairwise(found)), default=None)


def once_at(at: datetime, timezone: str | None) -> datetime:
    """Return the instant of a time that may be local: rule 3."""
    if at.tzinfo is not None:
        return at.astimezone(UTC)
    return _instant_of(at, find_zone(timezone or "UTC"))


def _of_interval(trigger: IntervalTrigger, after: datetime) -> Iterator[datetime]:
    if trigger.start_at is None:
        raise ValueError("the interval has no start")
    start, every = trigger.start_at.astimezone(UTC), timedelta(seconds=trigger.every_seconds)
    number = max(0, (after - start) // every + 1)
    while True:
        yield start + number * every
        number += 1


def _of_cron(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    if len(cron.split()) != _FIELDS:
        # The library would take a sixth field for seconds.
        raise CronInvalid(f"It has {len(cron.split())} fields. {_FORM}")
    minute, hour, *_ = cron.split()
    try:
        if minute.startswith("*") or hour.startswith("*"):
            return _as_often_as(cron, zone, after)
        return _in_order(CronSim(cron, after.astimezone(zone)), after)
    except CronSimError as exc:
        raise CronInvalid(f"{exc}. {_FORM}") from exc


def _as_often_as(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Yield every instant at which the local clock shows a time of the expression.

    The library counts such instants itself, and leaves some out where the clock is changed by half an hour.
    """
    local = after.astimezone(zone).replace(tzinfo=None)
    if (after - _LONGEST_CHANGE).astimezone(zone).utcoffset() != (after + _LONGEST_CHANGE).astimezone(
        zone
    ).utcoffset():
        # A local time before this one may be still to come: the second time.
        local -= _LONGEST_CHANGE
    return _merged(CronSim(cron, local), zone, after)


def _merged(locals_: Iterator[datetime], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    waiting: list[datetime] = []
    for local in locals_:
        found = _occurrences(local, zone)
        # First occurrences come in the order of the local times, so nothing earlier than this one is still to come.
        while found and waiting and waiting[0] < found[0]:
            yield heapq.heappop(waiting)
        for instant in found:
            if instant > after:
                heapq.heappush(waiting, instant)
    yield from sorted(waiting)


def _occurrences(local: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the instants at which a local clock shows a time: none, one or two, in order."""
    instants = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(each for each in instants if each.astimezone(zone).replace(tzinfo=None) == local)


def _in_order(times: Iterator[datetime], after: datetime) -> Iterator[datetime]:
    last = after
    for time in times:
        # From the second of two equal local times, the library would go back to the first.
        if (instant := time.astimezone(UTC)) > last:
            yield instant
            last = instant


def _instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local:
        return instant
    # The clock leaves it out. Before the change its offset counts: so long after the change is the time that was meant,
    # and the change itself lies between the instants of both offsets.
    low, high = local.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high.replace(microsecond=0)
