"""A thread: a conversation of one (tenant, user), with its totals."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Identity,
    Index,
    Integer,
    Numeric,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentChatSession(Base):
    __tablename__ = "agent_chat_session"
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id", "thread_id"),
        Index("ix_agent_chat_session_activity", "tenant_id", "user_id", "updated_at", "id"),
        # Retention looks for threads that still have events: those of the last days, not of all time.
        Index("ix_agent_chat_session_unpruned", "id", postgresql_where=text("pruned_ordinal < last_ordinal")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    thread_id: Mapped[str] = mapped_column(Text)
    """The client's name for the thread; unique per owner only."""
    agent_id: Mapped[str | None] = mapped_column(Text)
    """The agent of the thread, one of several; null for the default agent."""
    title: Mapped[str | None] = mapped_column(Text)
    state: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    """AG-UI shared state."""
    last_ordinal: Mapped[int] = mapped_column(Integer, server_default="0")
    """Ordinal of the newest run that became the thread's live run."""
    last_position: Mapped[int] = mapped_column(Integer, server_default="0")
    """Position of the newest message."""
    hidden_positions: Mapped[int] = mapped_column(Integer, server_default="0")
    """How many positions up to the newest show no message: replaced (a trigger counts these), or not used."""
    pruned_ordinal: Mapped[int] = mapped_column(Integer, server_default="0")
    """Events of runs up to this ordinal are past their retention and gone."""
    input_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    output_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cached_input_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cost: Mapped[Decimal | None] = mapped_column(Numeric(24, 12))
    """Sum of the known costs; null while none is known."""
    unknown_cost_calls: Mapped[int] = mapped_column(Integer, server_default="0")
    currency: Mapped[str] = mapped_column(Text, server_default="USD")
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    """Of the newest activity: a run was accepted or ended. A new title is none."""
