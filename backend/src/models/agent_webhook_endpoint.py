"""The webhook endpoints of the deployment's settings, with what became of them. T-end writes a message for each."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ARRAY, DateTime, Integer, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentWebhookEndpoint(Base):
    __tablename__ = "agent_webhook_endpoint"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Types of the messages that it wants."""
    disabled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """It has answered 410. Its messages wait for ``agentroute webhooks enable``."""
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    """Failed tries since the last success."""
    failing_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_error: Mapped[str | None] = mapped_column(Text)
    """A status, or a word of ours. Never what the endpoint has said."""
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """About when it last took a message."""
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
