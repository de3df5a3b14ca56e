"""What owners do with their schedules: make, look, change, delete, and fire one now."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.runtime.accept.agent_choice import AgentsFor
from core.agentscope.schemas.agent_runtime import RunOptions
from core.agentscope.schemas.links import events_url
from core.agentscope.schemas.page_place import NumberPlace
from core.agentscope.schemas.schedules import (
    ChangeScheduleCommand,
    CreateScheduleCommand,
    FireItem,
    PauseItem,
    ScheduleForm,
    ScheduleItem,
    ScheduleListResponse,
    ScheduleSummary,
)
from core.config import LimitSettings
from core.errors import AgentBackendError, IdempotencyMismatch, LimitExceeded, NotFound
from core.identity import Principal
from core.json_body import canonical_hash
from core.metrics.catalogue import SCHEDULE_FIRES
from core.schedule_errors import ScheduleUnreadable
from core.schedule_settings import ScheduleSettings
from core.schedules.authority import Authorities
from core.schedules.checks import check_input, checked_form
from core.schedules.fire import Fire, manual_key
from core.schedules.fire_store import FireStore, Settled, fire_of
from core.schedules.store import ScheduleChange, ScheduleStore
from core.schedules.stored_form import read_form
from core.validation import read_parameter

MANUAL_LEASE_SECONDS = 60.0
"""How long a request may take that fires a schedule; then a worker does."""


class ScheduleKeeper:
    """The schedules of the callers of an API process.

    Args:
        engine: Of the process.
        settings: Of schedules.
        limits: Of requests.
        agents: Says which agents a caller may use.
        default_agent: To which schedules belong that name no agent.
        authorities: Takes down the right of a request.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        settings: ScheduleSettings,
        limits: LimitSettings,
        *,
        agents: AgentsFor,
        default_agent: str,
        authorities: Authorities,
    ) -> None:
        self._store = ScheduleStore(engine)
        self._fires = FireStore(engine, authorized_days=settings.authorized_days)
        self._settings = settings
        self._limits = limits
        self._agents = agents
        self._default_agent = default_agent
        self._authorities = authorities

    async def create(self, principal: Principal, command: CreateScheduleCommand) -> tuple[ScheduleItem, bool]:
        """Make a schedule; the same id and body make it once.

        Returns:
            The schedule, and whether it is new.

        Raises:
            InvalidRequest, LimitExceeded: A member cannot be used, or the user has too many schedules.
            IdempotencyMismatch: Another body has made a schedule of this id.
            AgentUnknown, AgentFixed: The agent is not there for the caller, or the thread has another one.
            ScheduleUnreadable: The schedule was made before, and this version cannot read it.
        """
        digest = canonical_hash(command.wire())
        async with self._store.changing(principal, command.schedule_id) as change:
            if (row := change.row) is not None:
                self._require_visible(principal, row)
                if row["request_hash"] != digest:
                    raise IdempotencyMismatch(
                        "You have another schedule of this scheduleId. Change it with PATCH, or use a new id."
                    )
                created = False
            else:
                await self._require_room(change)
                form, instant = checked_form(command.form(), self._settings, self._limits, change.now)
                agent_id = await self._agent(principal, change, form)
                row = await change.add(
                    command.schedule_id or f"schedule-{uuid.uuid4().hex}",
                    digest,
                    form,
                    agent_id,
                    self._authorities.of(principal),
                    instant if command.enabled else None,
                    most_ended=self._settings.max_per_user,
                )
                created = True
        return await self._item(row), created

    async def page(self, principal: Principal, *, limit: int, before: str | None) -> ScheduleListResponse:
        """Return a page of the caller's schedules, newest first.

        Raises:
            InvalidRequest: ``before`` comes from no page.
        """
        place = read_parameter("before", before, NumberPlace.parse)
        rows = await self._store.page(
            principal,
            agents=principal.agents,
            default_agent=self._default_agent,
            # One more tells whether there is a next page.
            limit=limit + 1,
            before=None if place is None else place.number,
        )
        shown = rows[:limit]
        return ScheduleListResponse(
            schedules=[_summary(row) for row in shown],
            next_before=str(NumberPlace(shown[-1]["id"])) if len(rows) > limit else None,
        )

    async def get(self, principal: Principal, schedule_id: str) -> ScheduleItem:
        """Return a schedule with its last fires.

        Raises:
            NotFound: The caller has none of this id.
            ScheduleUnreadable: This version cannot read it.
        """
        row = await self._store.find(principal, schedule_id)
        return await self._item(self._require_visible(principal, row))

    async def change(
        self, principal: Principal, schedule_id: str, command: ChangeScheduleCommand
    ) -> ScheduleItem:
        """Change a schedule; from now on it fires by the right of this request.

        Raises:
            NotFound: The caller has none of this id.
            ScheduleUnreadable: This version cannot read it.
            InvalidRequest, LimitExceeded, AgentUnknown, AgentFixed: As :meth:`create`.
        """
        async with self._store.changing(principal, schedule_id) as change:
            row = self._require_visible(principal, change.row)
            before = read_form(row["form"])
            form = command.applied_to(before)
            was_paused, has_ended = row["paused_at"] is not None, row["ended_at"] is not None
            enabled = (not was_paused) if command.enables is None else command.enables
            # Resumed or revived, it goes on from now, as with another trigger: what was before is not due. Otherwise no
            # instant is lost that is due, and that no worker has seen yet.
            anew = was_paused or has_ended or form.trigger != before.trigger
            if command.changes_times or (enabled and was_paused):
                if has_ended:
                    await self._require_room(change)
                since = change.now if anew else row["decided_to"]
                form, instant = checked_form(form, self._settings, self._limits, since, row["fires"])
            else:
                check_input(form, self._limits)
                instant = row["next_at"]
            agent_id = await self._agent(principal, change, form)
            row = await change.change(
                form,
                agent_id,
                self._authorities.of(principal),
                instant if enabled else None,
                # What has ended, and stays so, is not paused.
                enabled=enabled or (has_ended and not command.changes_times),
                anew=anew,
                leave_out=not enabled,
            )
        return await self._item(row)

    async def delete(self, principal: Principal, schedule_id: str) -> None:
        """Delete a schedule. Runs that it has started go on.

        Raises:
            NotFound: The caller has none of this id.
        """
        async with self._store.changing(principal, schedule_id) as change:
            self._require_visible(principal, change.row)
            await change.delete()

    async def begin_fire(self, principal: Principal, schedule_id: str, key: str | None) -> Fire:
        """Write down that the caller fires a schedule now; who dies before it is settled leaves it to the workers.

        Args:
            principal: The caller.
            schedule_id: Which schedule.
            key: Identifies the request.

        Raises:
            NotFound: The caller has none of this id.
            ScheduleUnreadable: This version cannot read it. Nothing is written down.
        """
        row = self._require_visible(principal, await self._store.find(principal, schedule_id))
        read_form(row["form"])
        name = manual_key(key or uuid.uuid4().hex)
        begun = await self._store.begin_fire(row["id"], name, MANUAL_LEASE_SECONDS)
        if begun is None:
            raise _no_schedule()
        return fire_of(begun)

    async def accepted(self, fire: Fire, run_id: str, thread_id: str) -> None:
        """Write down the run of a fire."""
        await self._settle(fire, "accepted", run_id=run_id, thread_id=thread_id)

    async def refused(self, fire: Fire, error: AgentBackendError) -> None:
        """Write down why a fire has no run."""
        await self._settle(fire, "failed", code=error.code, detail=error.detail)

    async def _settle(self, fire: Fire, state: Settled, **about: str) -> None:
        if await self._fires.settle(fire, state, **about):
            SCHEDULE_FIRES.add(state)

    async def _require_room(self, change: ScheduleChange) -> None:
        most = self._settings.max_per_user
        if await change.count() >= most:
            told = f"You may have {most} schedules that have not ended. Delete one of them first."
            raise LimitExceeded(
                told if most else "This service makes no schedules: AGENT_SCHEDULES__MAX_PER_USER is 0."
            )

    async def _agent(self, principal: Principal, change: ScheduleChange, form: ScheduleForm) -> str | None:
        """Return the agent to which a schedule belongs, as a run of it would get it now."""
        thread = (None, True) if form.thread_id is None else await change.thread_agent(form.thread_id)
        thread_agent, is_new = thread
        options = RunOptions(agent_id=form.agent_id)
        return self._agents(principal).choose(options, thread_agent, is_new=is_new, answers=False)

    def _require_visible(self, principal: Principal, row: Any) -> Any:
        if row is None or not principal.may_see(row["agent_id"] or self._default_agent):
            raise _no_schedule()
        return row

    async def _item(self, row: Any) -> ScheduleItem:
        form = read_form(row["form"])
        fires = [_fire(each) for each in await self._store.fires(row["id"])]
        ends = None
        # An imported one has no right yet.
        if row["credential"] == "token" and row["scopes"] and self._settings.authorized_days:
            ends = row["authorized_at"] + timedelta(days=self._settings.authorized_days)
        return ScheduleItem.of(
            form,
            **_known(row),
            last_fire=fires[0] if fires else None,
            last_fires=fires,
            authorized_until=ends,
        )


def _no_schedule() -> NotFound:
    return NotFound("No such schedule.")


def _known(row: Any) -> dict[str, Any]:
    paused: datetime | None = row["paused_at"]
    return {
        "schedule_id": row["schedule_id"],
        "state": "ended" if row["ended_at"] else "paused" if paused else "active",
        "next_fire_at": row["next_at"],
        "fires": row["fires"],
        "paused": paused and PauseItem(code=row["pause_code"], detail=row["pause_detail"] or "", at=paused),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _summary(row: Any) -> ScheduleSummary:
    last = row["last_fire"]
    try:
        form = read_form(row["form"])
        of_form = {name: getattr(form, name) for name in ("name", "trigger", "agent_id", "thread_id")}
    except ScheduleUnreadable as exc:
        # One that cannot be read hides no others, and is there to be deleted.
        of_form = {"name": "", "agent_id": row["agent_id"], "problem": exc.code}
    return ScheduleSummary.model_validate(
        _known(row) | of_form | {"last_fire": None if last is None else _fire(last)}
    )


def _fire(row: Any) -> FireItem:
    run_id, thread_id = row["run_id"], row["thread_id"]
    return FireItem.model_validate(
        {name: row[name] for name in FireItem.model_fields if name not in ("events_url", "next_try_at")}
        | {
            "events_url": events_url(thread_id, run_id) if run_id and thread_id else None,
            "next_try_at": row["next_try_at"] if row["state"] == "pending" else None,
        }
    )
