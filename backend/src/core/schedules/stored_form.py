"""Reads what rows of schedules have stored. A newer version may have written what this one does not know."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from core.agentscope.schemas.schedules import ScheduleForm
from core.schedule_errors import ScheduleUnreadable
from core.schedules.authority import Authority

_TOLD = (
    "This version of the service cannot read the schedule: a newer one may have written it. "
    + "Update the service, or delete the schedule and make it anew."
)


def read_form(stored: str) -> ScheduleForm:
    """Return the form of a schedule.

    Raises:
        ScheduleUnreadable: This version cannot read it.
    """
    try:
        return ScheduleForm.model_validate_json(stored)
    except ValidationError as exc:
        raise unreadable() from exc


def read_authority(row: Any) -> Authority:
    """Return the right of a schedule.

    Raises:
        ScheduleUnreadable: This version cannot read it.
    """
    try:
        claims = json.loads(row["claims"])
    except ValueError as exc:
        raise unreadable() from exc
    if not isinstance(claims, dict):
        raise unreadable()
    return Authority(row["credential"], row["key_id"], row["scopes"], row["groups"], claims)


def unreadable() -> ScheduleUnreadable:
    """Return the error of a schedule that cannot be read."""
    return ScheduleUnreadable(_TOLD)
