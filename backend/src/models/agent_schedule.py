"""Schedules: when they are due again, by what right they fire, and why they do not. See ``core/schedules``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentSchedule(Base):
    __tablename__ = "agent_schedule"
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id", "schedule_id"),
        # What workers look for.
        Index("ix_agent_schedule_due", "next_at", postgresql_where=text("next_at IS NOT NULL")),
        # What retention looks for.
        Index("ix_agent_schedule_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        CheckConstraint("(next_at IS NULL) = (paused_at IS NOT NULL OR ended_at IS NOT NULL)", name="due"),
        CheckConstraint("(paused_at IS NULL) = (pause_code IS NULL)", name="pause"),
        CheckConstraint("credential IN ('local', 'token', 'key')", name="credential"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    """Never used again: the ids of runs are made of it."""
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    schedule_id: Mapped[str] = mapped_column(Text)
    """The owner's name for it."""
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    """Of the body that made it: tells a repeated request from another one."""
    form: Mapped[str] = mapped_column(Text)
    """A ``ScheduleForm`` as JSON: all that its owner decides."""
    agent_id: Mapped[str | None] = mapped_column(Text)
    """The agent to which it belongs; null for the default agent."""
    decided_to: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """Up to this time, every instant was fired or missed."""
    next_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When workers look at it again: its next instant."""
    fires: Mapped[int] = mapped_column(Integer, server_default="0")
    """How many instants it has fired."""
    paused_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    pause_code: Mapped[str | None] = mapped_column(Text)
    pause_detail: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    credential: Mapped[str] = mapped_column(Text)
    """What kind of credential made or last changed it."""
    key_id: Mapped[str | None] = mapped_column(Text)
    """The API key that did."""
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    groups: Mapped[list[str]] = mapped_column(ARRAY(Text))
    claims: Mapped[str] = mapped_column(Text)
    """Of the token, as JSON: those that rules ask for, and those that are kept with runs."""
    authorized_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
