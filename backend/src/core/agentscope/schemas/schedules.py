"""Schedules on the wire: when runs are fired, what they are asked, and what became of the last ones. Plain data."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from core.agentscope.schemas.agent_runtime import ContextItem, RunCommand, without_nulls
from core.agentscope.schemas.messages import ContentPart, Id, WireModel

MOST_SECONDS = 366 * 86_400
MOST_AT_ONCE = 100
"""Instants that one look may fire, of a schedule that was late."""
LEAST_GRACE_SECONDS = 10
"""Workers look once a second: with less, a busy second would be a missed fire."""
MOST_GRACE_SECONDS = 86_400

IMPORTED = "imported"
"""Code of the pause of a schedule that came with an import: nobody's right fires it before its owner enables it."""

Missed = Literal["skip", "latest", "all"]
OnBusy = Literal["enqueue", "skip"]
FireState = Literal["pending", "accepted", "skipped", "failed", "missed"]
ScheduleState = Literal["active", "paused", "ended"]


class CronTrigger(WireModel):
    """Instants by a cron expression."""

    type: Literal["cron"]
    cron: str = Field(
        max_length=200,
        description="Five fields: minute, hour, day of month, month, day of week. As Debian's cron reads them.",
        examples=["0 9 * * MON-FRI"],
    )
    timezone: str = Field(default="UTC", max_length=64, description="IANA name of the time zone.")


class IntervalTrigger(WireModel):
    """Instants at equal distances. Time zones do not matter."""

    type: Literal["interval"]
    every_seconds: int = Field(ge=1, le=MOST_SECONDS)
    start_at: AwareDatetime | None = None
    """The first instant, or one from which the others are counted. If absent, the first is one interval from now."""


class OnceTrigger(WireModel):
    """One instant."""

    type: Literal["once"]
    at: datetime
    """With an offset; without one, it is local time in ``timezone``."""
    timezone: str | None = Field(default=None, max_length=64)


Trigger = Annotated[CronTrigger | IntervalTrigger | OnceTrigger, Field(discriminator="type")]
Content = Annotated[str, StringConstraints(min_length=1)] | Annotated[list[ContentPart], Field(min_length=1)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


class ScheduleForm(WireModel):
    """What a schedule is: all that its owner decides."""

    name: Name = ""
    trigger: Trigger
    message: Content
    """What the user of the run says: text, or parts as in a message."""
    context: list[ContextItem] = Field(default_factory=list, max_length=100)
    forwarded_props: dict[str, Any] = Field(default_factory=dict)
    """Of your own agent. The options of this service are members of the schedule instead."""
    agent_id: Id | None = None
    """The agent of the runs. If absent, that of the thread, or the default agent."""
    thread_id: Id | None = None
    """The thread of all runs. If absent, each fire has a new thread."""
    on_busy: OnBusy = "enqueue"
    """If the thread has a live run. ``skip``: the fire is left out; also if the thread has an open question."""
    missed: Missed = "skip"
    """What becomes of instants that nobody fired in time: all workers were away, for example."""
    grace_seconds: int = Field(default=300, ge=LEAST_GRACE_SECONDS, le=MOST_GRACE_SECONDS)
    """How late a fire may be (``skip``), and for how long one that was refused is tried again."""
    max_at_once: int = Field(default=10, ge=1, le=MOST_AT_ONCE)
    """Of several instants that are due at once, so many of the newest are fired."""
    end_at: AwareDatetime | None = None
    """No instant after this one."""
    max_fires: int | None = Field(default=None, ge=1, le=1_000_000)
    """How often the schedule fires, then it has ended. Missed instants and manual fires do not count."""


class CreateScheduleCommand(ScheduleForm):
    """Body of ``POST /schedules``."""

    schedule_id: Id | None = None
    """Your own id: the same id and body always mean the same schedule. If absent, the server makes one."""
    enabled: bool = True

    _null_is_absent = model_validator(mode="before")(without_nulls)

    def form(self) -> ScheduleForm:
        """Return what the schedule is to be."""
        return ScheduleForm.model_validate(self.model_dump(exclude={"schedule_id", "enabled"}))


class ChangeScheduleCommand(WireModel):
    """Body of ``PATCH /schedules/{scheduleId}``: the members that change. ``null`` removes an optional one."""

    name: Name = ""
    trigger: Trigger | None = None
    message: Content = "-"
    context: list[ContextItem] = Field(default_factory=list, max_length=100)
    forwarded_props: dict[str, Any] = Field(default_factory=dict)
    agent_id: Id | None = None
    thread_id: Id | None = None
    on_busy: OnBusy = "enqueue"
    missed: Missed = "skip"
    grace_seconds: int = Field(default=300, ge=LEAST_GRACE_SECONDS, le=MOST_GRACE_SECONDS)
    max_at_once: int = Field(default=10, ge=1, le=MOST_AT_ONCE)
    end_at: AwareDatetime | None = None
    max_fires: int | None = Field(default=None, ge=1, le=1_000_000)
    enabled: bool = True
    """``false`` pauses, ``true`` resumes: from now on, without the instants of the pause."""

    @property
    def enables(self) -> bool | None:
        """Whether the schedule is to be enabled; ``None`` if the body does not say."""
        return self.enabled if "enabled" in self.model_fields_set else None

    @property
    def changes_times(self) -> bool:
        """Whether the instants of the schedule may be others."""
        return bool(self.model_fields_set & {"trigger", "end_at", "max_fires"})

    def applied_to(self, form: ScheduleForm) -> ScheduleForm:
        """Return a form with what the body changes."""
        changed = {
            name: getattr(self, name)
            for name in self.model_fields_set
            if name != "enabled" and not (name == "trigger" and self.trigger is None)
        }
        return form.model_copy(update=changed)


class FireItem(WireModel):
    """One fire, and the run that it made."""

    fire_at: datetime
    """The instant of the schedule; of a manual fire, when it was asked for."""
    state: FireState
    """``pending``: to be tried, also again. ``accepted``: there is a run. ``skipped``, ``failed``, ``missed``: there is none."""
    manual: bool = False
    attempts: int = 0
    run_id: str | None = None
    thread_id: str | None = None
    events_url: str | None = None
    code: str | None = None
    """Why there is no run, or not yet: the code of a problem, ``schedule-paused``, or the reason of a pause."""
    detail: str | None = None
    next_try_at: datetime | None = None
    settled_at: datetime | None = None
    missed_from: datetime | None = None
    """The first of several missed instants of which ``fireAt`` is the last."""
    missed_count: int | None = None
    """How many these are; absent if they are more than a hundred."""


class PauseItem(WireModel):
    """Why a schedule fires nothing."""

    code: str
    """``by-owner``, ``credential-ended``, ``authorization-expired``, ``trigger-invalid``, ``imported``, or the code of a problem."""
    detail: str
    at: datetime


class ScheduleSummary(WireModel):
    """A schedule as lists show it."""

    schedule_id: str
    name: str
    state: ScheduleState
    trigger: Trigger | None = None
    """Absent only if there is a ``problem``."""
    problem: str | None = None
    """``schedule-unreadable``: this version cannot read what the schedule is to do. It can be deleted."""
    agent_id: str | None = None
    thread_id: str | None = None
    next_fire_at: datetime | None = None
    """Absent while it is paused, and when it has ended."""
    fires: int = 0
    """How many instants it has fired."""
    paused: PauseItem | None = None
    last_fire: FireItem | None = None
    created_at: datetime
    updated_at: datetime


class ScheduleItem(ScheduleSummary):
    """A schedule with all that its owner decided, and its last fires, newest first."""

    message: Content
    context: list[ContextItem] = Field(default_factory=list)
    forwarded_props: dict[str, Any] = Field(default_factory=dict)
    on_busy: OnBusy
    missed: Missed
    grace_seconds: int
    max_at_once: int
    end_at: datetime | None = None
    max_fires: int | None = None
    authorized_until: datetime | None = None
    """When it is paused unless somebody changes it before; absent: never, or when its API key ends."""
    last_fires: list[FireItem] = Field(default_factory=list)

    @classmethod
    def of(cls, form: ScheduleForm, **known: Any) -> Self:
        """Return a schedule of this form."""
        return cls.model_validate(form.model_dump() | known)


class ScheduleListResponse(WireModel):
    """A page of the caller's schedules, newest first."""

    schedules: list[ScheduleSummary]
    next_before: str | None = None
    """``before`` of the next page; null on the last one."""

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; ``nextBefore`` is null when there is no next page."""
        return {"schedules": [item.wire() for item in self.schedules], "nextBefore": self.next_before}


def command_of(form: ScheduleForm, name: str) -> RunCommand:
    """Return the request that a fire makes: the same as often as it is tried.

    Args:
        form: Of the schedule.
        name: Of the fire; no other fire has it.
    """
    props: dict[str, Any] = {"onBusy": "enqueue" if form.on_busy == "enqueue" else "reject"}
    if form.agent_id is not None:
        props["agentId"] = form.agent_id
    said = form.wire()
    return RunCommand.model_validate(
        {
            "threadId": form.thread_id or f"thread-{name}",
            "runId": f"run-{name}",
            "messages": [{"id": f"m-{name}", "role": "user", "content": said["message"]}],
            "context": said.get("context", []),
            "forwardedProps": form.forwarded_props | props,
        }
    )
