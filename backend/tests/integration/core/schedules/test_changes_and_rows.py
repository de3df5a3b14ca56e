"""What changes of schedules, retention and odd rows do to the rows, while nobody fires: nothing is lost, nothing is kept for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.runtime.accept.agent_choice import only_agent
from core.agentscope.runtime.profile.access import ClaimNames
from core.agentscope.runtime.profile.agents import load_agents
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.schemas.schedules import ChangeScheduleCommand, CreateScheduleCommand, ScheduleItem
from core.config import DatabaseSettings, LimitSettings
from core.database import create_engine
from core.errors import InvalidRequest, LimitExceeded
from core.identity import Principal
from core.schedule_errors import ScheduleUnreadable
from core.schedule_settings import ScheduleSettings
from core.schedules.authority import Authorities
from core.schedules.fire_store import FireStore
from core.schedules.firer import ScheduleFirer
from core.schedules.keeper import ScheduleKeeper

ADA = Principal("default", "ada")
HOURLY = {"type": "interval", "everySeconds": 3600}
# Half a day away: no test runs while it is due.
DAILY = {"type": "cron", "cron": f"0 {(datetime.now(UTC).hour + 12) % 24} * * *"}
ONCE = {"type": "once", "at": "2034-01-01T00:00:00Z"}
NOBODY: Any = None


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings.model_validate({"url": database_url}), application_name="test")
    yield engine
    await engine.dispose()


@pytest.fixture
def keeper(engine: AsyncEngine) -> ScheduleKeeper:
    agents = load_agents()
    return ScheduleKeeper(
        engine,
        ScheduleSettings(max_per_user=1),
        LimitSettings(),
        agents=only_agent,
        default_agent=agents.default_id,
        authorities=Authorities(agents, ClaimNames()),
    )


async def run(engine: AsyncEngine, statement: str, **values: Any) -> Any:
    async with engine.begin() as connection:
        found = await connection.execute(text(statement), values)
        return found.scalars().all() if found.returns_rows else None


async def make(keeper: ScheduleKeeper, name: str, trigger: Any, **members: Any) -> ScheduleItem:
    body = {"scheduleId": name, "trigger": trigger, "message": "hello"} | members
    return (await keeper.create(ADA, CreateScheduleCommand.model_validate(body)))[0]


async def change(keeper: ScheduleKeeper, schedule: str, **members: Any) -> ScheduleItem:
    return await keeper.change(ADA, schedule, ChangeScheduleCommand.model_validate(members))


async def ended(engine: AsyncEngine, keeper: ScheduleKeeper, name: str, *, days: int = 0) -> None:
    """Make a schedule that has ended so many days ago."""
    await make(keeper, name, ONCE)
    await run(
        engine,
        "UPDATE agent_schedule SET next_at = NULL, ended_at = now() - :days * interval '1 day' WHERE schedule_id = :name",
        name=name,
        days=days,
    )


async def fire(engine: AsyncEngine, name: str, *, days: int | None = None) -> None:
    """Write down a fire that was settled so many days ago, or is still to be tried."""
    await run(
        engine,
        """INSERT INTO agent_schedule_fire (schedule_pk, fire_key, fire_at, give_up_at, state, settled_at)
        SELECT id, 'k', now(), now() + interval '1 hour', CASE WHEN CAST(:days AS integer) IS NULL THEN 'pending' ELSE 'failed' END,
            now() - CAST(:days AS integer) * interval '1 day' FROM agent_schedule WHERE schedule_id = :name""",
        name=name,
        days=days,
    )


def left(engine: AsyncEngine) -> Any:
    return run(engine, "SELECT schedule_id FROM agent_schedule ORDER BY id")


def states(engine: AsyncEngine) -> Any:
    return run(engine, "SELECT state || coalesce(' ' || code, '') FROM agent_schedule_fire ORDER BY id")


@pytest.mark.parametrize(
    ("days", "schedules", "fires"),
    [(0, ["old", "to-try"], ["failed", "pending"]), (30, ["to-try"], ["pending"])],
    ids=["for ever", "30 days"],
)
async def test_retention_keeps_what_is_still_to_be_tried_and_zero_keeps_everything(
    engine: AsyncEngine, keeper: ScheduleKeeper, days: int, schedules: list[str], fires: list[str]
) -> None:
    await ended(engine, keeper, "old", days=90)
    await fire(engine, "old", days=90)
    await ended(engine, keeper, "to-try", days=90)
    await fire(engine, "to-try")

    await ScheduleFirer(
        Turns(engine), FireStore(engine, authorized_days=90), NOBODY, retention_days=days
    ).tend()

    assert (await left(engine), await states(engine)) == (schedules, fires)


async def test_a_new_schedule_takes_no_ended_one_whose_fire_is_still_to_be_tried(
    engine: AsyncEngine, keeper: ScheduleKeeper
) -> None:
    for name, days in (("to-try", 3), ("older", 2), ("newer", 1)):
        await ended(engine, keeper, name, days=days)
        if name == "to-try":
            await fire(engine, name)
    await make(keeper, "active", DAILY)

    assert await left(engine) == ["to-try", "newer", "active"]


@pytest.mark.parametrize("members", [{"trigger": DAILY}, {"trigger": DAILY, "enabled": False}])
async def test_an_ended_schedule_is_revived_only_if_there_is_room(
    engine: AsyncEngine, keeper: ScheduleKeeper, members: dict[str, Any]
) -> None:
    await ended(engine, keeper, "old")
    await make(keeper, "active", DAILY)

    with pytest.raises(LimitExceeded, match="1 schedules"):
        await change(keeper, "old", **members)
    assert (await keeper.get(ADA, "old")).state == "ended"

    await keeper.delete(ADA, "active")
    revived = await change(keeper, "old", **members)
    assert revived.state == ("active" if members.get("enabled", True) else "paused")


@pytest.mark.parametrize("enabled", [False, True])
async def test_an_ended_schedule_stays_ended_and_a_pause_leaves_out_its_last_fire(
    engine: AsyncEngine, keeper: ScheduleKeeper, enabled: bool
) -> None:
    await ended(engine, keeper, "old")
    await fire(engine, "old")

    found = await change(keeper, "old", enabled=enabled, name="Other")

    assert (found.state, found.name, found.paused) == ("ended", "Other", None)
    assert await states(engine) == ["pending" if enabled else "skipped schedule-paused"]


@pytest.mark.parametrize(
    "members", [{"maxFires": 9}, {"endAt": "2033-01-01T00:00:00Z"}, {"trigger": DAILY, "maxFires": 9}]
)
async def test_an_instant_that_is_due_is_fired_though_the_end_is_changed(
    engine: AsyncEngine, keeper: ScheduleKeeper, members: dict[str, Any]
) -> None:
    made = await make(keeper, "s", DAILY, missed="latest")
    await run(
        engine,
        "UPDATE agent_schedule SET decided_to = now() - interval '2 days', next_at = now() - interval '1 day'",
    )
    store = FireStore(engine, authorized_days=90)

    changed = await change(keeper, "s", **members)
    assert changed.next_fire_at is not None
    assert made.next_fire_at is not None
    assert changed.next_fire_at < made.next_fire_at
    planned = await store.plan_due(10)

    assert (planned.schedules, planned.missed) == (1, 1)
    assert sorted(await states(engine)) == ["missed missed", "pending"]
    assert (await keeper.get(ADA, "s")).next_fire_at == made.next_fire_at


async def test_another_trigger_and_a_resumed_schedule_go_on_from_now(
    engine: AsyncEngine, keeper: ScheduleKeeper
) -> None:
    made = await make(keeper, "s", DAILY)
    await run(
        engine,
        "UPDATE agent_schedule SET decided_to = now() - interval '2 days', next_at = now() - interval '1 day'",
    )
    await change(keeper, "s", enabled=False)
    resumed = await change(keeper, "s", enabled=True, maxFires=9)
    assert resumed.next_fire_at == made.next_fire_at

    await run(
        engine,
        "UPDATE agent_schedule SET decided_to = now() - interval '2 days', next_at = now() - interval '1 day'",
    )
    hourly = await change(keeper, "s", trigger=HOURLY)
    assert hourly.next_fire_at is not None
    assert hourly.next_fire_at > hourly.updated_at
    with pytest.raises(InvalidRequest):
        await change(keeper, "s", endAt=hourly.updated_at.isoformat())


UNREADABLE = ("form = '{\"trigger\": {}}'", "form = 'nothing'", "claims = '[]'", "claims = '{'")


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_fire_that_cannot_be_read_is_left_to_others_until_its_time_is_over(
    engine: AsyncEngine, keeper: ScheduleKeeper, what: str
) -> None:
    for name in ("odd", "good"):
        await ended(engine, keeper, name)
        await fire(engine, name)
    await run(engine, f"UPDATE agent_schedule SET {what} WHERE schedule_id = 'odd'")  # noqa: S608  constants
    store = FireStore(engine, authorized_days=90)

    leased = await store.lease(10)

    assert [due.fire.form.message for due in leased.fires] == ["hello"]
    assert leased.unread == 1
    assert await states(engine) == ["pending schedule-unreadable", "pending"]

    odd = "schedule_pk = (SELECT id FROM agent_schedule WHERE schedule_id = 'odd')"
    await run(engine, f"UPDATE agent_schedule_fire SET next_try_at = now(), give_up_at = now() WHERE {odd}")  # noqa: S608
    again = await store.lease(10)
    assert (again.fires, again.unread) == ([], 1)
    assert await states(engine) == ["failed schedule-unreadable", "pending"]


@pytest.mark.parametrize("stored", ['{"trigger": {"type": "tide"}, "message": "hello"}', "{}", "nothing"])
async def test_a_schedule_that_cannot_be_read_is_told_listed_kept_and_deleted(
    engine: AsyncEngine, keeper: ScheduleKeeper, stored: str
) -> None:
    await ended(engine, keeper, "good")
    made = await make(keeper, "odd", DAILY)
    await run(engine, "UPDATE agent_schedule SET form = :stored WHERE schedule_id = 'odd'", stored=stored)
    again = {"scheduleId": "odd", "trigger": DAILY, "message": "hello"}

    for refused in (
        keeper.get(ADA, "odd"),
        change(keeper, "odd", enabled=False),
        keeper.create(ADA, CreateScheduleCommand.model_validate(again)),
        keeper.begin_fire(ADA, "odd", "k"),
    ):
        with pytest.raises(ScheduleUnreadable, match="delete the schedule"):
            await refused
    assert await states(engine) == []
    odd, good = (await keeper.page(ADA, limit=10, before=None)).schedules
    assert (odd.schedule_id, odd.state, odd.trigger, odd.problem) == (
        "odd",
        "active",
        None,
        "schedule-unreadable",
    )
    assert odd.next_fire_at == made.next_fire_at
    assert (good.schedule_id, good.problem) == ("good", None)
    assert good.trigger is not None

    await keeper.delete(ADA, "odd")
    assert await left(engine) == ["good"]


async def test_an_instant_of_a_schedule_that_cannot_be_read_waits_for_a_worker_that_can(
    engine: AsyncEngine, keeper: ScheduleKeeper
) -> None:
    await make(keeper, "odd", DAILY, missed="latest")
    [known] = await run(engine, "SELECT form FROM agent_schedule")
    due = "decided_to = now() - interval '1 day', next_at = now() - interval '1 hour'"
    await run(engine, f"UPDATE agent_schedule SET form = '{{}}', {due}")  # noqa: S608  constants
    store = FireStore(engine, authorized_days=90)

    planned = await store.plan_due(10)

    assert (planned.schedules, planned.missed, planned.unread) == (1, 0, 1)
    # Neither paused nor missed, and not looked at again at once.
    assert await run(engine, "SELECT 1 FROM agent_schedule WHERE paused_at IS NULL AND next_at > now()") == [
        1
    ]
    assert (await store.plan_due(10)).schedules == 0
    await run(engine, "UPDATE agent_schedule SET form = :known, next_at = now()", known=known)
    assert (await store.plan_due(10)).unread == 0
    assert await states(engine) == ["pending"]
