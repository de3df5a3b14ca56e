"""A user whose data is being erased, or was. What is left at the end names nobody: a hash and numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentErasure(Base):
    __tablename__ = "agent_erasure"
    __table_args__ = (
        Index(
            "uq_agent_erasure_owner",
            "tenant_id",
            "user_id",
            unique=True,
            postgresql_where=text("finished_at IS NULL"),
        ),
        Index("ix_agent_erasure_subject", "subject", "asked_at"),
        CheckConstraint("(finished_at IS NULL) = (user_id IS NOT NULL)", name="forgotten"),
        CheckConstraint("asked_by IN ('owner', 'admin', 'operator')", name="asked_by"),
    )

    erasure_id: Mapped[str] = mapped_column(Text, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str | None] = mapped_column(Text)
    """Null at the end."""
    subject: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of tenant and user: who asks again gets the receipt."""
    asked_by: Mapped[str] = mapped_column(Text)
    counts: Mapped[Any] = mapped_column(JSONB, server_default=text("'{}'"))
    """What was removed so far, by store: written in the transaction that removes it."""
    asked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    held_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Until when a process works on it. Then another one may."""
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
