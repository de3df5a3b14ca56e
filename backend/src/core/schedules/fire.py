"""A fire of a schedule: who asks for which run, under which names. Pure.

The names are made of the schedule's row and the instant, so a fire may be tried by any number of workers, any number of
times: it is one request, which is accepted once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.schedules import ScheduleForm, command_of
from core.identity import Principal
from core.schedules.authority import Authority

_NAME_CHARACTERS = 32


def instant_key(instant: datetime) -> str:
    """Return the key of the fire of an instant."""
    return instant.astimezone(UTC).isoformat()


def manual_key(name: str) -> str:
    """Return the key of a fire that somebody asked for; no instant has it."""
    return f"manual:{name}"


@dataclass(frozen=True, slots=True)
class Fire:
    """A fire that is to be tried."""

    fire_pk: int
    schedule_pk: int
    tenant_id: str
    user_id: str
    fire_key: str
    fire_at: datetime
    form: ScheduleForm
    attempts: int
    """With this one."""

    @property
    def name(self) -> str:
        """The name of the fire, in the ids of what it makes."""
        text = f"{self.schedule_pk}\n{self.fire_key}"
        return hashlib.sha256(text.encode()).hexdigest()[:_NAME_CHARACTERS]

    @property
    def idempotency_key(self) -> str:
        return f"schedule-{self.name}"

    @property
    def request_hash(self) -> bytes:
        """The same for every try, also if the schedule is changed in between."""
        return hashlib.sha256(self.idempotency_key.encode()).digest()

    def command(self) -> RunCommand:
        """Return the request."""
        return command_of(self.form, self.name)


@dataclass(frozen=True, slots=True)
class DueFire:
    """A fire that this process tries, for as long as its lease lasts."""

    fire: Fire
    late: bool
    """It is fired however late it is."""
    is_overdue: bool
    """The time for tries is over."""
    last_refusal: tuple[str, str] | None
    """Code and detail of the last try, if it was refused."""
    authority: Authority
    authorized_at: datetime
    key_ended: bool
    """The API key by whose right it fires was revoked or has expired."""
    right_ended: bool
    """The right of a token has ended."""

    @property
    def principal(self) -> Principal:
        """The owner, with the stored right."""
        return self.authority.principal(self.fire.tenant_id, self.fire.user_id)
