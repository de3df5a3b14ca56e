"""``current_time``: models do not know the date."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field

from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import Tool

Clock = Callable[[], datetime]
ZoneName = Annotated[str, Field(max_length=64)]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def current_time_tool(clock: Clock = _utc_now) -> Tool:
    """Build the tool over a clock of aware times."""

    # Blocking: the first use of a zone reads the disk, and a wrong name lists it.
    @tool(permission="allow", read_only=True, blocking=True)
    def current_time(timezone: ZoneName | None = None) -> str:
        """Tell the current date, weekday and time, in UTC or in a time zone.

        Args:
            timezone: IANA name, for example Europe/Berlin or Asia/Shanghai; UTC when absent.
        """
        zone_name = timezone or "UTC"
        now = clock().astimezone(_zone(zone_name))
        return f"{now.isoformat(timespec='seconds')} ({now:%A}, {zone_name})"

    return current_time


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        # ValueError: a path; OSError: a directory such as "America".
        raise ToolError(f"There is no time zone {name!r}. {_hint(name)}") from exc


def _hint(name: str) -> str:
    zones = {zone.casefold(): zone for zone in available_timezones()}
    wanted = name.strip().casefold().replace(" ", "_")
    # "Berlin" means Europe/Berlin: compare with the city as well as with the whole name.
    by_city = sorted(zone for key, zone in zones.items() if wanted and wanted == key.rpartition("/")[2])
    close = [zones[key] for key in difflib.get_close_matches(wanted, zones, n=3)]
    candidates = list(dict.fromkeys(by_city + close))[:3]
    if candidates:
        return f"Did you mean {', '.join(candidates)}?"
    return "Use an IANA name such as Europe/Berlin, America/New_York or Asia/Shanghai."
