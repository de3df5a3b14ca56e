"""The history of a thread, one row per message: the messages of a client that has seen every event."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    Numeric,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentChatMessage(Base):
    __tablename__ = "agent_chat_message"
    __table_args__ = (
        UniqueConstraint("session_id", "position"),
        UniqueConstraint("session_id", "message_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("agent_chat_session.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)
    message_id: Mapped[str] = mapped_column(Text)
    ordinal: Mapped[int] = mapped_column(Integer)
    """Of the run that brought it."""
    role: Mapped[str] = mapped_column(Text)
    content: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    """A string, a list of content parts, an object (activity), or null."""
    tool_calls: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    tool_call_id: Mapped[str | None] = mapped_column(Text)
    extra: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    """Members of the AG-UI message without a column: name, error, metadata, encryptedValue, …"""
    model: Mapped[str | None] = mapped_column(Text)
    input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cached_input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    reasoning_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cost: Mapped[Decimal | None] = mapped_column(Numeric(24, 12))
    currency: Mapped[str | None] = mapped_column(Text)
    latency_ms: Mapped[int | None] = mapped_column(Integer)
    ttft_ms: Mapped[int | None] = mapped_column(Integer)
    finish_reason: Mapped[str | None] = mapped_column(Text)
    incomplete: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """Shown in part: its run was cancelled, failed or lost."""
    imported: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """Brought by the client with the first run of a new thread."""
    replaced_by_ordinal: Mapped[int | None] = mapped_column(Integer)
    """Ordinal of the run that replaced this message. A replaced message is kept but no longer shown."""
    search: Mapped[Any] = mapped_column(TSVECTOR, nullable=True, deferred=True)
    """The words of a user or assistant message, and its owner's mark. A trigger writes it, only SQL reads it."""
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
