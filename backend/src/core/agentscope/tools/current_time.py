"""``current_time``: models do not know the date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Annotated

from pydantic import Field

from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import Tool
from core.time_zones import ZoneUnknown, find_zone

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


def _zone(name: str) -> tzinfo:
    try:
        return find_zone(name)
    except ZoneUnknown as exc:
        raise ToolError(str(exc)) from exc
