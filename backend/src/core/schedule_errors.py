"""The errors about schedules. As in ``core/errors.py``: a docstring is the page of its code."""

from __future__ import annotations

from core.errors import Conflict


class ScheduleUnreadable(Conflict):
    """This version cannot read what the schedule is to do; a newer version may have written it. It is kept, and can be
    deleted.

    Workers of a version that can read it fire it. Update the service, or delete the schedule and make it anew.
    """

    code, title = "schedule-unreadable", "The schedule cannot be read"
