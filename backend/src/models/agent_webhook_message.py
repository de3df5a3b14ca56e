"""The outbox of webhooks: one row for each endpoint that is to be told of the end of a run.

Written by a trigger in the transaction that ends the run; what it says is read from the run when it is sent.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentWebhookMessage(Base):
    __tablename__ = "agent_webhook_message"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
        Index("ix_agent_webhook_message_run_pk", "run_pk"),
        Index("ix_agent_webhook_message_due", "lane", "next_at", postgresql_where=text("state = 'pending'")),
        Index("ix_agent_webhook_message_failed", "lane", postgresql_where=text("state = 'failed'")),
        Index("ix_agent_webhook_message_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[UUID] = mapped_column(Uuid, server_default=func.gen_random_uuid())
    """``webhook-id``: the same at every try, so that a receiver can drop a repeat."""
    run_pk: Mapped[int] = mapped_column(ForeignKey("agent_run.id", ondelete="CASCADE"))
    lane: Mapped[str] = mapped_column(Text)
    """The name of an endpoint, or ``host:`` and the host that the run has named: one does not hold up another."""
    type: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """Tries that failed."""
    next_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    """When it is due; while a worker sends it, when its lease ends."""
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    done_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
