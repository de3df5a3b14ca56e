"""What a user asked the agent to remember: short texts, per (tenant, user)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Identity, Index, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentMemory(Base):
    __tablename__ = "agent_memory"
    __table_args__ = (Index("ix_agent_memory_owner", "tenant_id", "user_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    idempotency_key: Mapped[str] = mapped_column(Text, unique=True)
    """SHA-256 of owner and ``run_id:tool_call_id``: a repeated call stores nothing twice."""
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
