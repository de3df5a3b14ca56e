"""Decides which instants of a schedule are fired now, which are missed, and when to look again. Pure.

Rules, for the instants that are due and that nobody has decided about:

1. ``skip``: those are fired that are at most the grace late. ``latest``: the newest is fired, however late. ``all``: all
   are fired, however late.
2. Of those, at most ``maxAtOnce`` are fired, the newest. All others are missed, and that is recorded.
3. After ``maxFires`` instants or after ``endAt``, the schedule has ended. What would have come later is not missed.
4. Every instant is decided once: the next plan begins behind the time of this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.agentscope.schemas.schedules import MOST_AT_ONCE, ScheduleForm
from core.schedules.instants import first_after, newest


@dataclass(frozen=True, slots=True)
class MissedInstants:
    """Instants that are not fired."""

    first: datetime
    last: datetime
    count: int | None
    """``None``: more than can be counted in a moment."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now."""

    due: tuple[datetime, ...]
    """Instants to fire, in order."""
    missed: MissedInstants | None
    next_at: datetime | None
    """When the schedule is due again; ``None``: it has ended."""


def next_instant(form: ScheduleForm, now: datetime, fired: int) -> datetime | None:
    """Return the next instant of a schedule; ``None`` if it has ended."""
    if form.max_fires is not None and fired >= form.max_fires:
        return None
    instant = first_after(form.trigger, now)
    if instant is None or (form.end_at is not None and instant > form.end_at):
        return None
    return instant


def plan(form: ScheduleForm, decided_to: datetime, now: datetime, fired: int) -> Plan:
    """Decide about the instants between two times.

    Args:
        form: Of the schedule.
        decided_to: Up to this time, everything is decided.
        now: The time of the database.
        fired: How many instants the schedule has fired.
    """
    until = now if form.end_at is None else min(now, form.end_at)
    found = newest(form.trigger, decided_to, until, MOST_AT_ONCE + 1)
    due = found.instants
    if form.missed == "skip":
        grace = timedelta(seconds=form.grace_seconds)
        due = [instant for instant in due if now - instant <= grace]
    due = due[-1 if form.missed == "latest" else -form.max_at_once :]
    others = [instant for instant in found.instants if instant not in due]
    if form.max_fires is not None and fired + len(due) > form.max_fires:
        due = due[: max(0, form.max_fires - fired)]
        others = [instant for instant in others if due and instant < due[-1]]
    return Plan(
        tuple(due),
        _missed(form, decided_to, others, is_all=found.is_all),
        next_instant(form, now, fired + len(due)),
    )


def _missed(
    form: ScheduleForm, decided_to: datetime, others: list[datetime], *, is_all: bool
) -> MissedInstants | None:
    if not others:
        return None
    if is_all:
        return MissedInstants(others[0], others[-1], len(others))
    return MissedInstants(first_after(form.trigger, decided_to) or others[0], others[-1], None)
