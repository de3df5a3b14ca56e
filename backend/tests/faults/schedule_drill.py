"""Schedules over a night in which clocks are changed, fired by workers that die: what was fired, compared with the calendar.

The clock of the database goes faster than the real one. Nobody executes the runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import asyncpg
from tests.faults.launcher import eventually
from tests.support.limits import HUNG_SECONDS
from tests.support.postgres_clock import PostgresClock, with_clock

from core.agentscope.runtime.accept.agent_choice import only_agent
from core.agentscope.runtime.profile.access import ClaimNames
from core.agentscope.runtime.profile.agents import load_agents
from core.agentscope.schemas.schedules import CreateScheduleCommand, ScheduleForm
from core.config import DatabaseSettings, LimitSettings
from core.database import create_engine
from core.identity import Principal
from core.schedule_settings import ScheduleSettings
from core.schedules.authority import Authorities
from core.schedules.instants import instants_after
from core.schedules.keeper import ScheduleKeeper

BACKEND = Path(__file__).parents[2]
BEGIN = datetime(2026, 10, 24, 20, tzinfo=UTC)
"""The evening before Berlin puts its clocks back; Lord Howe put its own forward three weeks before."""
END = BEGIN + timedelta(hours=14)
_ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
_TIMES = ("*/20 * * * *", "7 * * * *", "30 1,2,3 * * *", "0,30 0-8 * * *", "*/45 */2 * * *")
_DAY_SECONDS = 86_400


def forms(schedules: int) -> list[dict[str, Any]]:
    """Return different schedules: times of many kinds in many zones, and every policy for what is missed."""
    made: list[dict[str, Any]] = []
    for number in range(schedules):
        zone, times = _ZONES[number % 4], _TIMES[number % 5]
        trigger = {"type": "cron", "cron": times, "timezone": zone}
        if number % 7 == 6:
            trigger = {"type": "interval", "everySeconds": 1700}
        made.append(
            {
                "scheduleId": f"s-{number}",
                "trigger": trigger,
                "message": "hello",
                "missed": ("skip", "all", "all", "latest")[number % 4 if number % 3 else 1],
                "graceSeconds": _DAY_SECONDS,
                "maxAtOnce": 100,
            }
        )
    return made


@dataclass
class Night:
    """What became of the schedules."""

    expected: int = 0
    """Instants of the calendar."""
    accepted: int = 0
    missed: int = 0
    """By the policy ``latest``, and recorded."""
    faults: list[str] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=dict)
    tries: int = 0
    """More than the fires: what a dead worker had begun."""
    seconds: float = 0.0


async def play(
    url: str, *, schedules: int, firers: int, seed: int, pace: float, seconds: float = HUNG_SECONDS
) -> Night:
    """Let a night pass.

    Args:
        url: An empty database.
        schedules: How many.
        firers: How many processes fire.
        seed: Decides when they die.
        pace: How many times as fast as the real clock that of the database goes.
        seconds: How long it may take.
    """
    clock = PostgresClock(url)
    await clock.make(BEGIN, END)
    try:
        rows = await _make(with_clock(url), schedules)
        # A firer that dies holds its fires for half a second.
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "tests.faults.firers"),
            *(with_clock(url), str(firers), str(seed), str(0.5 * pace)),
            env={**os.environ, "PYTHONPATH": str(BACKEND)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            connection = await asyncpg.connect(url)
            assert program.stdout is not None
            assert await program.stdout.readline() == b"ready\n"
            began = time.monotonic()
            await clock.start(pace)

            async def is_over() -> bool:
                assert program.returncode is None, "the firers have ended"
                if await clock.now() < END:
                    return False
                # A clock that stands ends no leases.
                await connection.execute(_END_LEASES, END)
                return not await connection.fetchval(_LEFT, END)

            await eventually(is_over, seconds, pause_seconds=0.3)
        finally:
            said, _ = await program.communicate(b"")
        night = await _judge(connection, rows)
        await connection.close()
        night.deaths = json.loads(said)
        night.seconds = time.monotonic() - began
        return night
    finally:
        await clock.drop()


_END_LEASES = "UPDATE agent_schedule_fire SET next_try_at = $1 WHERE state = 'pending'"
_LEFT = """
SELECT EXISTS (SELECT FROM agent_schedule_fire WHERE state = 'pending')
    OR EXISTS (SELECT FROM agent_schedule WHERE next_at <= $1)
"""


async def _make(url: str, schedules: int) -> dict[str, ScheduleForm]:
    engine = create_engine(DatabaseSettings.model_validate({"url": url}), application_name="agentroute-drill")
    agents = load_agents()
    keeper = ScheduleKeeper(
        engine,
        ScheduleSettings(max_per_user=10**6),
        LimitSettings(),
        agents=only_agent,
        default_agent=agents.default_id,
        authorities=Authorities(agents, ClaimNames()),
    )
    made: dict[str, ScheduleForm] = {}
    for number, values in enumerate(forms(schedules)):
        owner = Principal("default", f"user-{number % 10}")
        item, _ = await keeper.create(owner, CreateScheduleCommand.model_validate(values))
        made[item.schedule_id] = ScheduleForm.model_validate(item.model_dump())
    await engine.dispose()
    return made


async def _judge(connection: asyncpg.Connection, made: dict[str, ScheduleForm]) -> Night:
    night = Night()
    rows = await connection.fetch("""
        SELECT s.schedule_id, s.user_id, f.fire_at, f.state, f.run_id, f.missed_count, f.code, f.attempts
        FROM agent_schedule_fire AS f JOIN agent_schedule AS s ON s.id = f.schedule_pk
    """)
    runs = Counter(row["run_id"] for row in await connection.fetch("SELECT run_id FROM agent_run"))
    for schedule_id, form in made.items():
        calendar = list(takewhile(lambda instant: instant <= END, instants_after(form.trigger, BEGIN)))
        mine = [row for row in rows if row["schedule_id"] == schedule_id]
        accepted = sorted(row["fire_at"] for row in mine if row["state"] == "accepted")
        missed = sum(row["missed_count"] or 0 for row in mine if row["state"] == "missed")
        night.expected += len(calendar)
        night.accepted += len(accepted)
        night.missed += missed
        night.tries += sum(row["attempts"] for row in mine)
        if len(set(accepted)) != len(accepted) or not set(accepted) <= set(calendar):
            night.faults.append(f"{schedule_id}: fires that the calendar has not, or twice")
        if len(accepted) + missed != len(calendar):
            night.faults.append(f"{schedule_id}: {len(accepted)} fires, {missed} missed of {len(calendar)}")
        if missed and form.missed != "latest":
            night.faults.append(f"{schedule_id}: {missed} missed beyond the policy")
        night.faults += [
            f"{schedule_id} {row['fire_at']}: {row['state']} {row['code']}, {runs[row['run_id']]} runs"
            for row in mine
            if row["state"] not in ("accepted", "missed")
            or (row["state"] == "accepted" and runs[row["run_id"]] != 1)
        ]
    if sum(runs.values()) != night.accepted:
        night.faults.append(f"{sum(runs.values())} runs for {night.accepted} fires")
    return night
