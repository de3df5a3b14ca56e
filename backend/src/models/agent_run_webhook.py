"""The webhook endpoint that a run has named itself, its address and its secret encrypted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentRunWebhook(Base):
    __tablename__ = "agent_run_webhook"
    __table_args__ = (
        Index("uq_agent_run_webhook_run_pk", "run_pk", unique=True),
        Index("ix_agent_run_webhook_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_pk: Mapped[int] = mapped_column(ForeignKey("agent_run.id", ondelete="CASCADE"))
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(Text)
    """Host, or host and port, as the settings name it."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """Address and secret, as ``core/connections/vault.py`` encrypts them."""
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
