from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.agentscope.tools.current_time import current_time_tool
from core.agentscope.tools.spec import ToolContext, ToolOutcome

tool = current_time_tool(clock=lambda: datetime(2026, 12, 31, 23, 30, 15, 999, tzinfo=UTC))


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        ({}, "2026-12-31T23:30:15+00:00 (Thursday, UTC)"),
        ({"timezone": None}, "2026-12-31T23:30:15+00:00 (Thursday, UTC)"),
        ({"timezone": ""}, "2026-12-31T23:30:15+00:00 (Thursday, UTC)"),
        ({"timezone": "Europe/Berlin"}, "2027-01-01T00:30:15+01:00 (Friday, Europe/Berlin)"),
        ({"timezone": "Asia/Kathmandu"}, "2027-01-01T05:15:15+05:45 (Friday, Asia/Kathmandu)"),
    ],
)
async def test_time_in_a_zone(context: ToolContext, arguments: dict[str, Any], content: str) -> None:
    assert await tool.call(arguments, context) == ToolOutcome("success", content)


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Berlin", "Did you mean Europe/Berlin"),
        ("new york", "Did you mean America/New_York"),
        ("Europe/Berlim", "Did you mean Europe/Berlin"),
        ("Mars/Olympus", "Use an IANA name"),
        ("America", "There is no time zone 'America'"),
        ("../../etc/passwd", "There is no time zone"),
        ("/etc/passwd", "There is no time zone"),
        ("\x00", "There is no time zone"),
        (" ", "Use an IANA name"),
    ],
)
async def test_unknown_zone_is_an_error_with_a_hint(context: ToolContext, zone: str, hint: str) -> None:
    outcome = await tool.call({"timezone": zone}, context)

    assert outcome.state == "error"
    assert hint in outcome.content


async def test_overlong_zone_is_an_argument_error(context: ToolContext) -> None:
    outcome = await tool.call({"timezone": "x" * 10_000}, context)

    assert outcome.content.startswith("Invalid arguments for current_time:")


async def test_clock_is_read_for_each_call(context: ToolContext) -> None:
    before = datetime.now(UTC).replace(microsecond=0)

    outcome = await current_time_tool().call({}, context)

    assert before <= datetime.fromisoformat(outcome.content.split()[0]) <= datetime.now(UTC)
