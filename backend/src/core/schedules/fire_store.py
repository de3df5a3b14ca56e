"""The rows of schedules and fires, as workers use them.

Rules:

1. Only the clock of Postgres is compared.
2. An instant is decided and written down in one transaction, under the lock of its schedule: afterwards it is fired or
   missed, whoever dies.
3. Whoever tries a fire has it for a lease. If it dies, another worker tries; the names of the fire make both tries one
   request.
4. That a run was accepted is the truth, whatever was written about its fire meanwhile.
5. What this version cannot read (a newer one may have written it) is left to workers that can, while there is time.

Lock order: schedule, fires.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.schemas.schedules import LEAST_GRACE_SECONDS, ScheduleForm
from core.crash_points import crash_point
from core.metrics.catalogue import SCHEDULE_FIRES
from core.schedule_errors import ScheduleUnreadable
from core.schedules.fire import DueFire, Fire, instant_key
from core.schedules.planning import Plan, plan
from core.schedules.stored_form import read_authority, read_form

log = structlog.get_logger(__name__)

TRIGGER_INVALID = "trigger-invalid"
_AGAIN_SECONDS = 60
UNREAD_SECONDS = LEAST_GRACE_SECONDS / 2
"""After this time a schedule or a fire that cannot be read is looked at again, by whichever worker comes first."""

Settled = Literal["accepted", "skipped", "failed", "missed"]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a look for due schedules did."""

    schedules: int
    missed: int
    """Instants that nobody fires."""
    unread: int
    """Schedules that this version cannot read."""


@dataclass(frozen=True, slots=True)
class Leased:
    """Fires that this process took."""

    fires: list[DueFire]
    unread: int
    """Of how many others this version cannot read the schedule."""


class FireStore:
    """The fires of a deployment.

    Args:
        engine: Of the process.
        authorized_days: How long the right of a token lasts; 0: for ever.
        lease_seconds: How long a try may take.
    """

    def __init__(self, engine: AsyncEngine, *, authorized_days: int, lease_seconds: float = 60.0) -> None:
        self._engine = engine
        self._values = {"authorized_days": authorized_days, "lease": lease_seconds}
        self._told: set[int] = set()
        """Schedules that the log says cannot be read: once each, though they are looked at again and again."""

    async def has_work(self) -> bool:
        """Return whether a schedule or a fire is due."""
        async with self._engine.connect() as connection:
            return bool(await connection.scalar(_HAS_WORK))

    async def plan_due(self, batch: int) -> Planned:
        """Decide about the instants of schedules that are due, and write down what is to be fired."""
        missed = unread = 0
        async with self._engine.begin() as connection:
            rows = (await connection.execute(_DUE, {"batch": batch})).mappings().all()
            for row in rows:
                try:
                    missed += await _plan_one(connection, row, read_form(row["form"]))
                except ScheduleUnreadable:
                    unread += 1
                    self._tell_unread(row["id"])
                    await connection.execute(_LATER, {"id": row["id"], "seconds": UNREAD_SECONDS})
            crash_point("schedule-planning")
        crash_point("schedule-planned")
        return Planned(len(rows), missed, unread)

    def _tell_unread(self, schedule: int) -> None:
        if schedule not in self._told:
            self._told.add(schedule)
            log.warning("schedule_not_readable", schedule=schedule)

    async def lease(self, batch: int) -> Leased:
        """Take fires that are due, the oldest first."""
        async with self._engine.begin() as connection:
            rows = (await connection.execute(_LEASE, self._values | {"batch": batch})).mappings().all()
            found = [await _due_or_left(connection, row) for row in rows]
        crash_point("schedule-leased")
        fires = [due for due in found if due is not None]
        return Leased(fires, len(rows) - len(fires))

    async def settle(
        self,
        fire: Fire,
        state: Settled,
        *,
        run_id: str | None = None,
        thread_id: str | None = None,
        code: str | None = None,
        detail: str | None = None,
    ) -> bool:
        """Write down what became of a fire; False if that was known already."""
        values = {"id": fire.fire_pk, "state": state, "run_id": run_id, "thread_id": thread_id}
        async with self._engine.begin() as connection:
            found = await connection.execute(_SETTLE, values | {"code": code, "detail": detail})
            settled = found.one_or_none() is not None
        crash_point("schedule-settled")
        return settled

    async def postpone(self, fire: Fire, seconds: float, *, code: str, detail: str) -> bool:
        """Try a fire again later; False if the time for tries is over, or it is settled."""
        values = {"id": fire.fire_pk, "wait": seconds, "code": code, "detail": detail}
        async with self._engine.begin() as connection:
            return (await connection.execute(_POSTPONE, values)).one_or_none() is not None

    async def pause(self, due: DueFire, *, code: str, detail: str) -> bool:
        """Pause a schedule whose right has ended; its other fires are left out. False if its owner has just renewed it."""
        values = {"id": due.fire.schedule_pk, "code": code, "detail": detail}
        async with self._engine.begin() as connection:
            found = await connection.execute(_PAUSE, values | {"authorized_at": due.authorized_at})
            if found.one_or_none() is None:
                return False
            await connection.execute(LEAVE_OUT, values | {"but": due.fire.fire_pk})
        return True

    async def forget(self, *, days: int, rows: int) -> int:
        """Delete fires that were settled and schedules that ended long ago; returns how many."""
        values = {"days": days, "rows": rows}
        async with self._engine.begin() as connection:
            fires = (await connection.execute(_FORGET_FIRES, values)).rowcount
            return fires + (await connection.execute(_FORGET_SCHEDULES, values)).rowcount


async def _plan_one(connection: AsyncConnection, row: RowMapping, form: ScheduleForm) -> int:
    """Decide about one schedule; returns how many of its instants are missed."""
    key, now = {"id": row["id"]}, row["now"]
    try:
        planned = plan(form, row["decided_to"], now, row["fires"])
    except ValueError as exc:
        # A time zone that a new version of the data has not, for example.
        log.warning("schedule_trigger_invalid", schedule=row["id"], error=type(exc).__name__)
        detail = "The trigger cannot be read any more. Change it."
        await connection.execute(
            _PAUSE, key | {"code": TRIGGER_INVALID, "detail": detail, "authorized_at": None}
        )
        return 0
    except Exception:
        log.exception("schedule_not_planned", schedule=row["id"])
        # A fault of ours: the other schedules must be planned all the same.
        await connection.execute(_LATER, key | {"seconds": _AGAIN_SECONDS})
        return 0
    await _write(connection, row["id"], form, planned, now)
    return 0 if planned.missed is None else planned.missed.count or 1


async def _write(
    connection: AsyncConnection, schedule_pk: int, form: ScheduleForm, planned: Plan, now: datetime
) -> None:
    late, grace = form.missed != "skip", timedelta(seconds=form.grace_seconds)
    if planned.due:
        values = {
            "id": schedule_pk,
            "keys": [instant_key(instant) for instant in planned.due],
            "instants": list(planned.due),
            "late": late,
            "give_up": [(max(instant, now) if late else instant) + grace for instant in planned.due],
        }
        await connection.execute(_ADD, values)
    if (missed := planned.missed) is not None:
        values = {
            "id": schedule_pk,
            "key": instant_key(missed.last),
            "at": missed.last,
            "first": missed.first,
        }
        await connection.execute(_ADD_MISSED, values | {"count": missed.count})
    decided = {"id": schedule_pk, "now": now, "next": planned.next_at, "fired": len(planned.due)}
    await connection.execute(_DECIDED, decided)


def fire_of(row: Any) -> Fire:
    """Return the fire of a row that has its schedule's members, too.

    Raises:
        ScheduleUnreadable: This version cannot read the schedule.
    """
    return Fire(
        row["fire_pk"],
        row["schedule_pk"],
        row["tenant_id"],
        row["user_id"],
        row["fire_key"],
        row["fire_at"],
        read_form(row["form"]),
        row["attempts"],
    )


async def _due_or_left(connection: AsyncConnection, row: RowMapping) -> DueFire | None:
    """Return a fire; one that cannot be read is left to other workers until its time is over."""
    try:
        return _due_fire(row)
    except ScheduleUnreadable as exc:
        log.warning("fire_not_readable", schedule=row["schedule_pk"])
        about = {"id": row["fire_pk"], "code": exc.code, "detail": exc.detail}
    later = await connection.execute(_POSTPONE, about | {"wait": UNREAD_SECONDS})
    if later.one_or_none() is None:
        await connection.execute(_SETTLE, about | {"state": "failed", "run_id": None, "thread_id": None})
        SCHEDULE_FIRES.add("failed")
    return None


def _due_fire(row: RowMapping) -> DueFire:
    return DueFire(
        fire_of(row),
        late=row["late"],
        is_overdue=row["is_overdue"],
        last_refusal=None if row["code"] is None else (row["code"], row["detail"]),
        authority=read_authority(row),
        authorized_at=row["authorized_at"],
        key_ended=row["key_ended"],
        right_ended=row["right_ended"],
    )


_HAS_WORK = text("""
SELECT EXISTS (SELECT FROM agent_schedule WHERE next_at <= statement_timestamp())
    OR EXISTS (SELECT FROM agent_schedule_fire WHERE state = 'pending' AND next_try_at <= statement_timestamp())
""")

_DUE = text("""
SELECT id, form, decided_to, fires, statement_timestamp() AS now FROM agent_schedule
WHERE next_at <= statement_timestamp() ORDER BY next_at LIMIT :batch FOR NO KEY UPDATE SKIP LOCKED
""")

_ADD = text("""
INSERT INTO agent_schedule_fire (schedule_pk, fire_key, fire_at, late, give_up_at, next_try_at)
SELECT CAST(:id AS bigint), d.fire_key, d.fire_at, CAST(:late AS boolean), d.give_up_at, clock_timestamp()
FROM unnest(CAST(:keys AS text[]), CAST(:instants AS timestamptz[]), CAST(:give_up AS timestamptz[]))
    AS d (fire_key, fire_at, give_up_at)
ON CONFLICT (schedule_pk, fire_key) DO NOTHING
""")

_ADD_MISSED = text("""
INSERT INTO agent_schedule_fire
    (schedule_pk, fire_key, fire_at, state, give_up_at, code, missed_from, missed_count, settled_at)
VALUES (:id, :key, :at, 'missed', :at, 'missed', :first, :count, clock_timestamp())
ON CONFLICT (schedule_pk, fire_key) DO NOTHING
""")

_DECIDED = text("""
UPDATE agent_schedule SET decided_to = :now, next_at = CAST(:next AS timestamptz), fires = fires + :fired,
    ended_at = CASE WHEN CAST(:next AS timestamptz) IS NULL THEN clock_timestamp() END
WHERE id = :id
""")

_LATER = text("""
UPDATE agent_schedule SET next_at = clock_timestamp() + :seconds * interval '1 second' WHERE id = :id
""")

_LEASE = text("""
WITH due AS (
    SELECT id FROM agent_schedule_fire WHERE state = 'pending' AND next_try_at <= statement_timestamp()
    ORDER BY next_try_at LIMIT :batch FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE agent_schedule_fire AS f
SET next_try_at = clock_timestamp() + :lease * interval '1 second', attempts = f.attempts + 1
FROM due, agent_schedule AS s WHERE f.id = due.id AND s.id = f.schedule_pk
RETURNING f.id AS fire_pk, f.schedule_pk, f.fire_key, f.fire_at, f.attempts, f.late, f.code, f.detail,
    f.give_up_at <= statement_timestamp() AS is_overdue,
    s.tenant_id, s.user_id, s.form, s.credential, s.key_id, s.scopes, s.groups, s.claims, s.authorized_at,
    s.credential = 'key' AND NOT EXISTS (
        SELECT FROM agent_api_key AS k
        WHERE k.key_id = s.key_id AND k.tenant_id = s.tenant_id AND k.user_id = s.user_id AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > statement_timestamp())
    ) AS key_ended,
    s.credential = 'token' AND CAST(:authorized_days AS integer) > 0
        AND s.authorized_at < statement_timestamp() - CAST(:authorized_days AS integer) * interval '1 day'
        AS right_ended
""")

_SETTLE = text("""
UPDATE agent_schedule_fire SET state = :state, run_id = CAST(:run_id AS text), thread_id = CAST(:thread_id AS text),
    code = CAST(:code AS text), detail = CAST(:detail AS text), settled_at = clock_timestamp()
WHERE id = :id AND (state = 'pending' OR (CAST(:state AS text) = 'accepted' AND state <> 'accepted')) RETURNING id
""")

_POSTPONE = text("""
UPDATE agent_schedule_fire SET code = :code, detail = :detail,
    next_try_at = least(clock_timestamp() + :wait * interval '1 second', give_up_at)
WHERE id = :id AND state = 'pending' AND give_up_at > clock_timestamp() RETURNING id
""")

_PAUSE = text("""
UPDATE agent_schedule SET paused_at = clock_timestamp(), pause_code = :code, pause_detail = :detail, next_at = NULL
WHERE id = :id AND paused_at IS NULL AND ended_at IS NULL
    AND (CAST(:authorized_at AS timestamptz) IS NULL OR authorized_at = :authorized_at)
RETURNING id
""")

LEAVE_OUT = text("""
UPDATE agent_schedule_fire SET state = 'skipped', code = :code, detail = :detail, settled_at = clock_timestamp()
WHERE schedule_pk = :id AND state = 'pending' AND id <> :but
""")
"""Leaves out the fires of a schedule that nobody has settled, but one; the caller has the lock of the schedule."""

_FORGET_FIRES = text("""
DELETE FROM agent_schedule_fire WHERE id = ANY(ARRAY(
    SELECT id FROM agent_schedule_fire WHERE settled_at < statement_timestamp() - :days * interval '1 day'
    ORDER BY settled_at LIMIT :rows FOR UPDATE SKIP LOCKED))
""")

NOTHING_PENDING = """
    NOT EXISTS (SELECT FROM agent_schedule_fire AS f WHERE f.schedule_pk = agent_schedule.id AND f.state = 'pending')
"""
"""A schedule has no fire that is still to be tried: it may be deleted with the record of its fires."""

_FORGET_SCHEDULES = text(f"""
DELETE FROM agent_schedule WHERE id = ANY(ARRAY(
    SELECT id FROM agent_schedule
    WHERE ended_at < statement_timestamp() - :days * interval '1 day' AND {NOTHING_PENDING}
    ORDER BY ended_at LIMIT :rows FOR UPDATE SKIP LOCKED))
""")  # noqa: S608  constants
