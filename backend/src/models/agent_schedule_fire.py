"""Fires of schedules: what is to be fired, and what became of what was. See ``core/schedules``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentScheduleFire(Base):
    __tablename__ = "agent_schedule_fire"
    __table_args__ = (
        UniqueConstraint("schedule_pk", "fire_key"),
        Index("ix_agent_schedule_fire_newest", "schedule_pk", "fire_at", "id"),
        # What workers look for.
        Index("ix_agent_schedule_fire_pending", "next_try_at", postgresql_where=text("state = 'pending'")),
        # What retention looks for.
        Index(
            "ix_agent_schedule_fire_settled", "settled_at", postgresql_where=text("settled_at IS NOT NULL")
        ),
        CheckConstraint("state IN ('pending', 'accepted', 'skipped', 'failed', 'missed')", name="state"),
        CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name="settled"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    schedule_pk: Mapped[int] = mapped_column(ForeignKey("agent_schedule.id", ondelete="CASCADE"))
    fire_key: Mapped[str] = mapped_column(Text)
    """The instant, or what a client named a manual fire: an instant is fired once."""
    fire_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    manual: Mapped[bool] = mapped_column(Boolean, server_default="false")
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    late: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """It is fired however late it is."""
    give_up_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """Until then it is tried again after a refusal."""
    next_try_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    """Also the lease of who tries it: nobody else does before this time."""
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    run_id: Mapped[str | None] = mapped_column(Text)
    thread_id: Mapped[str | None] = mapped_column(Text)
    code: Mapped[str | None] = mapped_column(Text)
    """Why there is no run, or not yet."""
    detail: Mapped[str | None] = mapped_column(Text)
    missed_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    missed_count: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
