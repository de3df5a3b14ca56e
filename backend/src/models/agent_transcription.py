"""The ledger of transcriptions: one row per call of the engine, written before the call. No transcribed text."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Identity,
    Index,
    Integer,
    Numeric,
    Text,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentTranscription(Base):
    __tablename__ = "agent_transcription"
    __table_args__ = (
        # Reports ask for a period.
        Index("ix_agent_transcription_period", "tenant_id", "user_id", "created_at"),
        CheckConstraint("outcome IN ('started', 'succeeded', 'failed')", name="outcome"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    provider: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    audio_kind: Mapped[str] = mapped_column(Text)
    audio_bytes: Mapped[int] = mapped_column(BigInteger)
    audio_ms: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[Decimal | None] = mapped_column(Numeric(24, 12))
    """Null is unknown, never free."""
    currency: Mapped[str] = mapped_column(Text, server_default="USD")
    cost_source: Mapped[str] = mapped_column(Text, server_default="unknown")
    latency_ms: Mapped[int | None] = mapped_column(Integer)
    """Of the engine."""
    outcome: Mapped[str] = mapped_column(Text, server_default="started")
    error_code: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
