"""Schedules as the client asks for them and reads them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentroute.client.wire_form import wire_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFire:
    """One fire of a schedule, and the run that it made."""

    fire_at: datetime
    state: str
    """``pending``, ``accepted``, ``skipped``, ``failed`` or ``missed``."""
    manual: bool = False
    attempts: int = 0
    run_id: str | None = None
    thread_id: str | None = None
    code: str | None = None
    """Why there is no run, or not yet."""
    detail: str | None = None
    next_try_at: datetime | None = None
    settled_at: datetime | None = None
    missed_from: datetime | None = None
    missed_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePause:
    """Why a schedule fires nothing."""

    code: str
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule. In lists without its message, its options and its older fires."""

    schedule_id: str
    state: str
    """``active``, ``paused`` or ``ended``."""
    created_at: datetime
    updated_at: datetime
    trigger: Mapping[str, Any] = field(default_factory=dict)
    """Empty only if there is a ``problem``."""
    problem: str | None = None
    """``schedule-unreadable``: the service cannot read what the schedule is to do. It can be deleted."""
    name: str = ""
    message: Any = None
    agent_id: str | None = None
    thread_id: str | None = None
    on_busy: str | None = None
    missed: str | None = None
    grace_seconds: int | None = None
    max_at_once: int | None = None
    end_at: datetime | None = None
    max_fires: int | None = None
    next_fire_at: datetime | None = None
    fires: int = 0
    paused: SchedulePause | None = None
    authorized_until: datetime | None = None
    last_fire: ScheduleFire | None = None
    last_fires: tuple[ScheduleFire, ...] = ()
    context: tuple[Mapping[str, Any], ...] = ()
    forwarded_props: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePage:
    """Schedules, newest first."""

    schedules: tuple[Schedule, ...]
    next_before: str | None = None


def schedule_body(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a schedule or of a change of one.

    Args:
        members: As the API has them, with names of Python; times are written as text.
    """
    return {wire_name(name): _wire_value(value) for name, value in members.items()}


def _wire_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _wire_value(each) for name, each in value.items()}
    return value
